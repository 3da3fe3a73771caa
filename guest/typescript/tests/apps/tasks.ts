// Tasks of every kind. `/?run=ok,fail` adds the tasks `ok` and `fail`.

import {
  BackgroundTasks,
  EnqueueError,
  onTeardown,
  RequestContext,
  TaskContext,
  type TaskOptions,
  task,
} from "epilogue";

const ok = task("ok", () => console.log("ok"));
const slow = task("slow", async () => {
  console.log("slow begins");
  await new Promise((resolve) => setTimeout(resolve, 5));
  console.log("slow ends");
});
const fail = task("fail", () => {
  console.log("fail");
  throw new Error("cannot print", { cause: new Error("no paper") });
});
const flaky = task(
  "flaky",
  () => {
    const attempt = TaskContext.current()?.attempt ?? 0;
    console.log("flaky", attempt);
    if (attempt < 3) throw new Error("not yet");
  },
  { maxAttempts: 3, backoff: { first: 1, max: 2 } },
);
const sleep = task("sleep", () => new Promise((resolve) => setTimeout(resolve, 3_600_000)), { timeout: 50 });
const spin = task(
  "spin",
  () => {
    for (;;);
  },
  { timeout: 50 },
);
const nested = task("nested", () => {
  console.log("nested");
  BackgroundTasks.addTask(ok);
});
const greet = task("greet", (user: { name: string; tags: string[] }, times: number = 1) => {
  for (let time = 0; time < times; time++) console.log(`hello ${user.name}, ${user.tags.join("+")}`);
});
const identity = task("identity", () => {
  const context = TaskContext.current();
  const traceparent = RequestContext.current()?.traceContext.traceparent;
  console.log(
    context?.requestId,
    context?.id,
    context?.name,
    context?.idempotencyKey,
    traceparent,
    context?.outcome.kind,
  );
});
const afterFailure = task("after_failure", () => console.log(TaskContext.current()?.outcome), { runWhen: "failure" });

const durable = task("durable", () => console.log("durable"), { durable: true });
const unlessGone = task("unless_gone", () => console.log("unless_gone"), { cancelOnDisconnect: true });

/** Work of the handler that ends when a task has started, by a timer of the handler's call. */
function handlersWork(): void {
  let isAwaited = false;
  const work = async () => {
    while (!isAwaited) await new Promise((resolve) => setTimeout(resolve, 1));
    console.log("the handler's work ends");
  };
  const promise = work();
  BackgroundTasks.defer(() => {
    isAwaited = true;
    return promise;
  });
}

const verbs: Record<string, () => unknown> = {
  ok: () => BackgroundTasks.addTask(ok),
  slow: () => BackgroundTasks.addTask(slow),
  fail: () => BackgroundTasks.addTask(fail),
  flaky: () => BackgroundTasks.addTask(flaky),
  sleep: () => BackgroundTasks.addTask(sleep),
  spin: () => BackgroundTasks.addTask(spin),
  nested: () => BackgroundTasks.addTask(nested),
  greet: () => BackgroundTasks.addTask(greet, { name: "Ada", tags: ["a", "b"] }, 2),
  identity: () => BackgroundTasks.addTask(identity),
  closure: () => {
    const captured = new Map([["key", 1n]]);
    BackgroundTasks.defer(() => console.log("closure", captured));
  },
  durable: () => BackgroundTasks.addTask(durable),
  unless_gone: () => BackgroundTasks.addTask(unlessGone),
  handlers_work: handlersWork,
  cancelled: () => BackgroundTasks.cancel(BackgroundTasks.addTask(ok)),
  after_failure: () => BackgroundTasks.addTask(afterFailure),
  // As a task of an older version of the application, which a worker still has.
  gone: () => BackgroundTasks.addTask(Object.assign(() => {}, { taskName: "gone", options: {} })),
  changed: () =>
    BackgroundTasks.addTask(
      Object.assign((_: object) => {}, { taskName: "greet", options: {} }),
      {},
    ),
  forgotten: () => {
    setTimeout(() => console.log("forgotten work"), 20);
    onTeardown(() => console.log("teardown"));
  },
  teardown: () => {
    onTeardown(() => console.log("first registered, last run"));
    onTeardown(async () => {
      onTeardown(() => console.log("registered by a cleanup"));
      throw new Error("a cleanup fails");
    });
    onTeardown(() => console.log("last registered, first run"));
  },
};

/** The reason and the message with which the task is refused. */
function refusal(args: unknown[], options: TaskOptions = {}): string {
  try {
    BackgroundTasks.addTaskWith(options, greet as never, ...(args as never[]));
    return "accepted";
  } catch (error) {
    return error instanceof EnqueueError ? `${error.reason}: ${error.message}` : `no EnqueueError: ${error}`;
  }
}

const cycle: unknown[] = [];
cycle.push(cycle);

export default {
  async fetch(request: Request, env: Readonly<Record<string, string>>): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    if (searchParams.has("continue")) BackgroundTasks.onFailure("continue");
    for (const verb of searchParams.get("run")?.split(",") ?? []) verbs[verb]?.();
    switch (pathname) {
      case "/throw":
        throw new TypeError("a bug in the handler");
      case "/nothing":
        return undefined as never;
      case "/endless":
        return new Response(new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(65_536)) }));
      case "/env":
        return Response.json(env);
      case "/refused":
        return Response.json([
          refusal([new Date(0)]),
          refusal([{ a: [1, Number.NaN] }]),
          refusal([() => {}]),
          refusal([{ big: 1n }]),
          refusal([cycle]),
          refusal([[undefined]]),
          refusal(["x".repeat(1 << 20)]),
          refusal([], { durable: true }),
        ]);
      default:
        return new Response("tasks\n");
    }
  },
};
