// The code of the guide's page for people who come from Cloudflare Workers.

import { BackgroundTasks, type FetchHandler, TaskContext, task } from "epilogue";

async function count(url: string): Promise<void> {
  // Stands for a call of another system.
  await new Promise((resolve) => setTimeout(resolve, 10));
  console.log(`counted ${new URL(url).pathname}`);
}

// ANCHOR: worker
const worker: FetchHandler = {
  async fetch(request, env, ctx) {
    ctx.waitUntil(count(request.url));
    return new Response(`${env.GREETING}\n`);
  },
};
// ANCHOR_END: worker

// ANCHOR: task
const countVisit = task(
  "count_visit",
  async (url: string) => {
    const attempt = TaskContext.current()?.attempt ?? 1;
    if (attempt === 1) throw new Error("the counter is busy");
    await count(url);
  },
  { maxAttempts: 5, backoff: { first: 100, max: 10_000 } },
);

const withTask: FetchHandler = {
  fetch(request) {
    BackgroundTasks.addTask(countVisit, request.url); // starts after the last byte of the response
    return new Response("Hello\n");
  },
};
// ANCHOR_END: task

export default {
  fetch: (request, env, ctx) => (request.url.endsWith("/task") ? withTask : worker).fetch(request, env, ctx),
} satisfies FetchHandler;
