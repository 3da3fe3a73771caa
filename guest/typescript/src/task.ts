// Tasks: functions with a name. After the response, the host runs a task by its name.

import type { Json } from "./json.js";
import type { TaskOptions } from "./options.js";

/**
 * A function that can run after the response. To add the task to the request's queue, call `BackgroundTasks.addTask`,
 * for which the compiler checks the types of the arguments. If you call the task like a function, it runs at once.
 */
export interface Task<Args extends unknown[], Result = unknown> {
  (...args: Args): Result;
  /** The name of the task in the host's log and in the task engine. */
  readonly taskName: string;
  /** The options that `addTask` uses for this task. */
  readonly options: TaskOptions;
}

/** A task with arguments of any types. */
// biome-ignore lint/suspicious/noExplicitAny: only `any` stands for parameters of every type
export type AnyTask = Task<any[]>;

const tasks = new Map<string, AnyTask>();

/** Accepts a function only if JSON can hold its arguments without a change. Otherwise, the compiler shows this text. */
type Checked<Args> = Args extends Json<Args> ? unknown : "a task takes only arguments that JSON keeps as they are";

/**
 * Makes a function a task, so that `addTask` can add it to the request's queue.
 *
 * Call `task` at the top level of a module, because the host may run the task in another instance. The task's arguments
 * must be values that JSON does not change.
 *
 * @param name The task's name. The host stores durable tasks under this name, so do not change the name while tasks are
 *   stored.
 * @param run The function, which may be asynchronous. If the function throws an error, the attempt fails. Declare the
 *   types of all parameters, also of parameters with a default value.
 * @param options The options that `addTask` uses for this task.
 * @throws {Error} If another task has the same name.
 */
export function task<Args extends unknown[], Result>(
  name: string,
  run: ((...args: Args) => Result) & Checked<Args>,
  options: TaskOptions = {},
): Task<Args, Result> {
  if (tasks.has(name)) throw new Error(`two tasks are named ${JSON.stringify(name)}: rename one`);
  const made = Object.assign((...args: Args) => run(...args), { taskName: name, options });
  tasks.set(name, made);
  return made;
}

/** Returns the task with this name. Returns undefined if no task has this name. */
export function find(name: string): AnyTask | undefined {
  return tasks.get(name);
}
