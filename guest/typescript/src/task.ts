// Tasks, which are functions with a name. After the response, the host calls a task by its name.

import type { Json } from "./json.js";
import type { TaskOptions } from "./options.js";

/**
 * A function that can run after the response. `BackgroundTasks.addTask` enqueues the task, and the compiler checks the
 * types of the arguments. A direct call runs the function at once.
 */
export interface Task<Args extends unknown[], Result = unknown> {
  (...args: Args): Result;
  /** The name by which the host knows the task, in its log and in the task engine. */
  readonly taskName: string;
  /** The options of every call of `addTask` with this task. */
  readonly options: TaskOptions;
}

/** A task with arguments of any types. */
// biome-ignore lint/suspicious/noExplicitAny: only `any` stands for parameters of every type
export type AnyTask = Task<any[]>;

const tasks = new Map<string, AnyTask>();

/** Accepts a function only if JSON keeps all of its arguments. If not, the compiler shows this text. */
type Checked<Args> = Args extends Json<Args> ? unknown : "a task takes only arguments that JSON keeps as they are";

/**
 * Turns a function into a task.
 *
 * Call `task` at the top level of a module, because the host may run the task in a fresh instance. The arguments must
 * be values that JSON does not change.
 *
 * @param name The task's name. Stored durable tasks contain the name, so change the name only when no stored task is left.
 * @param run The function, which may be asynchronous. If the function throws an error, the attempt fails. Annotate all
 *   parameters of the function, also parameters with a default value.
 * @param options The options of every call of `addTask` with this task.
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
