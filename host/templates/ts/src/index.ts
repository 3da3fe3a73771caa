import { BackgroundTasks, EnqueueError, onTeardown, TaskContext, task } from "epilogue";
import { Hono } from "hono";

interface Order {
  id: number;
  email: string;
}

// ANCHOR: task
const writeLog = task("write_log", async (message: string) => {
  console.log(message);
});
// ANCHOR_END: task

// ANCHOR: retry
const print = task(
  "print",
  async (order: Order) => {
    const attempt = TaskContext.current()?.attempt ?? 1;
    if (attempt < 2) throw new Error("the printer is busy");
    console.log(`order ${order.id}: printed at attempt ${attempt}`);
  },
  { maxAttempts: 3, backoff: { first: 100, max: 1000 } },
);
// ANCHOR_END: retry

const sendReceipt = task(
  "send_receipt",
  (order: Order) => {
    console.log(`order ${order.id}: receipt to ${order.email}`);
  },
  { durable: true },
);

const app = new Hono();

app.post("/send-notification/:email", (c) => {
  BackgroundTasks.addTask(writeLog, `message to ${c.req.param("email")}`);
  return c.text("Notification sent\n");
});

app.post("/orders", async (c) => {
  const order = await c.req.json<Order>();
  onTeardown(() => console.log(`order ${order.id}: closed`));
  BackgroundTasks.addTask(print, order);
  try {
    BackgroundTasks.addTask(sendReceipt, order);
  } catch (error) {
    // A host without a task engine, such as Spin, refuses durable tasks. In this case, the app adds
    // an ordinary task.
    if (!(error instanceof EnqueueError) || error.reason !== "unsupported") throw error;
    BackgroundTasks.addTaskWith({ durable: false }, sendReceipt, order);
  }
  return c.json(order);
});

export default app;
