// The queue of the current request, and what lives in this instance's memory until it runs.

import queue from "epilogue:background/queue@0.1.0";
import { EnqueueError } from "./error.js";
import * as json from "./json.js";
import { forHost, type TaskOptions } from "./options.js";
import type { Task } from "./task.js";

/** A task's number within its request: 1, 2, 3 … in the order of adding. */
export type TaskId = number;

/** The options of a closure. It cannot be durable or retried, because it lives in the memory of its instance. */
export type DeferOptions = Pick<TaskOptions, "cancelOnDisconnect" | "runWhen" | "timeout"> & {
  /** The name in the host's log. Default: `defer`. */
  name?: string;
};

/**
 * The queue of the current request.
 *
 * The host runs the tasks after it has sent the response, one at a time, in the order in which they were added. The handler,
 * libraries, running tasks and the teardown all add to the same queue.
 */
export const BackgroundTasks = {
  /**
   * Adds a task behind all others.
   *
   * @throws {EnqueueError} If the task is not accepted. Such a task never runs.
   */
  addTask<Args extends unknown[]>(task: Task<Args>, ...args: Args): TaskId {
    return enqueue(task, args, task.options);
  },

  /**
   * Adds a task behind all others, with options that override the task's own.
   *
   * @throws {EnqueueError} If the task is not accepted. Such a task never runs.
   */
  addTaskWith<Args extends unknown[]>(options: TaskOptions, task: Task<Args>, ...args: Args): TaskId {
    return enqueue(task, args, { ...task.options, ...options });
  },

  /**
   * Adds a closure behind all others. It may capture any value, because it stays in this instance's memory. If the instance
   * dies before the closure has run, the host records it as `abandoned`.
   *
   * @throws {EnqueueError} If the closure is not accepted. Such a task never runs.
   */
  defer(run: () => unknown, options: DeferOptions = {}): TaskId {
    const { name = "defer", ...rest } = options;
    const id = add(name, new Uint8Array(), rest, true);
    closures.set(id, run);
    return id;
  },

  /** Cancels a task that has not started. Returns false if the task has started or ended, or was never accepted. */
  cancel(id: TaskId): boolean {
    return queue.cancel(id);
  },

  /**
   * Sets whether this request's remaining tasks run after a task has failed. Without this call, the operator's setting
   * decides.
   */
  onFailure(policy: "stop" | "continue"): void {
    queue.onFailure(policy);
  },
} as const;

/**
 * Runs `cleanup` after the request's last task, even if there was no task. The last registered cleanup runs first. A cleanup
 * may be asynchronous. The host records what it throws, and the other cleanups still run.
 */
export function onTeardown(cleanup: () => unknown): void {
  cleanups.push(cleanup);
  // A running teardown runs it too.
  if (!isTearingDown) queue.needsTeardown();
}

const closures = new Map<TaskId, () => unknown>();
const cleanups: (() => unknown)[] = [];
let isTearingDown = false;

/** Takes the closure out that was added as this task, if it is one. */
export function takeClosure(id: TaskId): (() => unknown) | undefined {
  const closure = closures.get(id);
  closures.delete(id);
  return closure;
}

/** Runs the cleanups, the last registered first, and those that they register. Then nothing of the request is left. */
export async function tearDown(): Promise<void> {
  const errors: unknown[] = [];
  isTearingDown = true;
  for (let cleanup = cleanups.pop(); cleanup !== undefined; cleanup = cleanups.pop()) {
    try {
      await cleanup();
    } catch (error) {
      errors.push(error);
    }
  }
  isTearingDown = false;
  closures.clear();
  // The runner passes a string on to the host.
  if (errors.length > 0) throw errors.join("; ");
}

function enqueue(task: Task<never[]>, args: readonly unknown[], options: TaskOptions): TaskId {
  let bytes: Uint8Array;
  try {
    bytes = json.write(args);
  } catch (error) {
    throw new EnqueueError(task.taskName, "bad-args", error instanceof Error ? error.message : error, { cause: error });
  }
  return add(task.taskName, bytes, options, false);
}

function add(name: string, args: Uint8Array, options: TaskOptions, instanceBound: boolean): TaskId {
  try {
    return queue.addTask(name, args, forHost(options, instanceBound));
  } catch (thrown) {
    throw EnqueueError.from(name, thrown);
  }
}
