// Tasks: functions with a name, by which the host asks for them after the response.

import type { Json } from "./json.js";
import type { TaskOptions } from "./options.js";

/**
 * A function that can run after the response. `BackgroundTasks.addTask` enqueues it, with arguments that the compiler
 * checks. A direct call runs the function at once.
 */
export interface Task<Args extends unknown[], Result = unknown> {
  (...args: Args): Result;
  /** The name by which the host knows the task, in its log and in the task engine. */
  readonly taskName: string;
  /** The options that hold wherever the task is enqueued. */
  readonly options: TaskOptions;
}

/** Any task, whatever its arguments. */
// biome-ignore lint/suspicious/noExplicitAny: only `any` stands for parameters of every type
export type AnyTask = Task<any[]>;

const tasks = new Map<string, AnyTask>();

/** Accepts a function of these arguments only if JSON keeps them all. Otherwise the compiler shows this text. */
type Checked<Args> = Args extends Json<Args> ? unknown : "a task takes only arguments that JSON keeps as they are";

/**
 * Turns a function into a task.
 *
 * Call it at the top level of a module, because the host may run the task in a fresh instance. The arguments must be values
 * that JSON keeps as they are.
 *
 * @param name The task's name. Stored durable tasks have it, so change it only when none is left.
 * @param run The function. It may be asynchronous. If it throws, the attempt has failed. Annotate all of its parameters, also
 *   those with a default value.
 * @param options Options that hold wherever the task is enqueued.
 * @throws {Error} If another task has this name.
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

/** The task of this name, if there is one. */
export function find(name: string): AnyTask | undefined {
  return tasks.get(name);
}
