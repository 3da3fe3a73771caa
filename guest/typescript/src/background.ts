// The queue of the current request, and the closures and cleanups in this instance's memory.

import queue from "epilogue:background/queue@0.1.0";
import { EnqueueError } from "./error.js";
import * as json from "./json.js";
import { forHost, type TaskOptions } from "./options.js";
import type { Task } from "./task.js";

/** The number of a task within its request. The numbers are 1, 2, 3 and so on, in the order of registration. */
export type TaskId = number;

/** The options of a closure. A closure cannot be durable or retried, because it stays in the memory of its instance. */
export type DeferOptions = Pick<TaskOptions, "cancelOnDisconnect" | "runWhen" | "timeout"> & {
  /** The name that the closure has as a task, for example in the host's log. Default: `defer`. */
  name?: string;
};

/**
 * The queue of the current request.
 *
 * The host runs the tasks after it has sent the response, one at a time, in the order in which they were added. The
 * handler, libraries, running tasks and the teardown all add tasks to the same queue.
 */
export const BackgroundTasks = {
  /**
   * Adds a task to the end of the queue. The host runs the task after the response, with the arguments `args`.
   *
   * @throws {EnqueueError} If the task is refused. A refused task never runs.
   */
  addTask<Args extends unknown[]>(task: Task<Args>, ...args: Args): TaskId {
    return enqueue(task, args, task.options);
  },

  /**
   * Adds a task to the end of the queue. The options of this call replace the options of `task`.
   *
   * @throws {EnqueueError} If the task is refused. A refused task never runs.
   */
  addTaskWith<Args extends unknown[]>(options: TaskOptions, task: Task<Args>, ...args: Args): TaskId {
    return enqueue(task, args, { ...task.options, ...options });
  },

  /**
   * Adds a closure as a task to the end of the queue. The closure may use any variable, because it stays in this
   * instance's memory. If the instance dies before the closure has run, the host records the task as `abandoned`.
   *
   * @throws {EnqueueError} If the closure is refused. A refused closure never runs.
   */
  defer(run: () => unknown, options: DeferOptions = {}): TaskId {
    const { name = "defer", ...rest } = options;
    const id = add(name, new Uint8Array(), rest, true);
    closures.set(id, run);
    return id;
  },

  /**
   * Cancels a task that has not started. Returns false if the task has already started, ended or been cancelled, or if
   * the request has no task with this number.
   */
  cancel(id: TaskId): boolean {
    return queue.cancel(id);
  },

  /**
   * Sets whether the host runs this request's remaining tasks after a task has failed. If you do not call this
   * function, the operator's setting `on-failure` decides.
   */
  onFailure(policy: "stop" | "continue"): void {
    queue.onFailure(policy);
  },
} as const;

/**
 * Registers a function that runs after the request's last task, for example to close a resource. If the request has no
 * task, `cleanup` runs after the response. The function that was registered last runs first. `cleanup` may be
 * asynchronous. If a cleanup throws an error, the host logs the error, and the other cleanups still run.
 */
export function onTeardown(cleanup: () => unknown): void {
  cleanups.push(cleanup);
  // If the teardown is already running, it also runs this cleanup.
  if (!isTearingDown) queue.needsTeardown();
}

const closures = new Map<TaskId, () => unknown>();
const cleanups: (() => unknown)[] = [];
let isTearingDown = false;

/** Removes and returns the closure of the task with this number. Returns undefined if the task is not a closure. */
export function takeClosure(id: TaskId): (() => unknown) | undefined {
  const closure = closures.get(id);
  closures.delete(id);
  return closure;
}

/**
 * Runs the cleanups in reverse order of registration, including cleanups that a running cleanup registers. Then drops
 * the closures of the request.
 */
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
  // The host gets the thrown string as the error of `runner.teardown`.
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
