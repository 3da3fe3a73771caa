// The application of FastAPI's tutorial on background tasks, with Hono.

import { BackgroundTasks, onTeardown, task } from "epilogue";
import { Hono } from "hono";
import { cors } from "hono/cors";
import { HTTPException } from "hono/http-exception";
import { streamSSE, streamText } from "hono/streaming";

// ANCHOR: app
const writeLog = task("write_log", async (message: string) => {
  console.log(message);
});

const app = new Hono();

app.use(async (c, next) => {
  const query = c.req.query("q");
  if (query) BackgroundTasks.addTask(writeLog, `found query: ${query}`);
  await next();
});

app.post("/send-notification/:email", (c) => {
  BackgroundTasks.addTask(writeLog, `message to ${c.req.param("email")}`);
  onTeardown(() => console.log("session closed"));
  return c.json({ message: "Message sent" });
});
// ANCHOR_END: app

app.use("/api/*", cors());
app.get("/api/users/:id", (c) => c.json({ id: Number(c.req.param("id")) }));
app.post("/echo", async (c) => c.json(await c.req.json()));
app.post("/form", async (c) => {
  const form = await c.req.parseBody();
  const file = form.file instanceof File ? `${form.file.name} ${form.file.type} ${await form.file.text()}` : null;
  return c.json({ name: form.name, file });
});
app.post("/upload", async (c) => {
  let length = 0;
  for await (const chunk of c.req.raw.body ?? []) length += chunk.length;
  return c.text(`${length}`);
});
app.get("/stream", (c) => {
  BackgroundTasks.addTask(writeLog, "after the stream");
  return streamText(c, async (stream) => {
    for (const part of ["one ", "two ", "three"]) {
      await stream.write(part);
      await stream.sleep(5);
    }
    console.log("the stream ends");
  });
});
app.get("/events", (c) =>
  streamSSE(c, async (stream) => {
    for (const id of ["1", "2"]) await stream.writeSSE({ id, data: `event ${id}` });
  }),
);
app.get("/large", (c) => {
  BackgroundTasks.addTask(writeLog, "after the last byte");
  return c.body(new Uint8Array(16 << 20));
});
app.get("/broken", (c) => {
  BackgroundTasks.addTask(writeLog, "after the broken body");
  let chunks = 0;
  const body = new ReadableStream({
    pull(controller) {
      if (++chunks > 2) throw new Error("the source has failed");
      controller.enqueue(new TextEncoder().encode("some "));
    },
  });
  return c.body(body);
});
app.get("/wait", (c) => {
  const work = async () => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    console.log("waited");
  };
  c.executionCtx.waitUntil(work());
  c.executionCtx.waitUntil(Promise.reject(new Error("rejected")));
  return c.text("ok");
});
app.get("/teapot", () => {
  throw new HTTPException(418, { message: "short and stout" });
});
app.get("/crash", () => {
  throw new Error("a bug");
});
app.get("/cookies", (c) => {
  c.header("set-cookie", "a=1");
  c.header("set-cookie", "b=2; Path=/", { append: true });
  return c.body(null, 204);
});
app.get("/redirect", (c) => c.redirect("/elsewhere"));
app.get("/fetch", async (c) => {
  const failed = await fetch("http://example.com/").catch((error) => String(error));
  return c.text(String(failed));
});

export default app;
