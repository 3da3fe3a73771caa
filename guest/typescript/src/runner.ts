// The export `epilogue:background/runner`. The host calls its functions to run a task or the teardown.

import { alive } from "./alive.js";
import { takeClosure, tearDown } from "./background.js";
import { type HostTask, TaskContext } from "./context.js";
import * as json from "./json.js";
import { find } from "./task.js";

/**
 * The component's export `runner`. To return an error to the host, its functions throw a case of the WIT's error type.
 */
export const runner = {
  async run(asked: HostTask): Promise<void> {
    const body = takeClosure(asked.id) ?? call(asked);
    try {
      await alive(TaskContext.run(asked, body));
    } catch (error) {
      throw { tag: "failed", val: describe(error) };
    }
  },

  async teardown(): Promise<void> {
    await alive(tearDown());
  },
};

/** Returns a function without parameters, which calls the task's function with the task's arguments. */
function call(asked: HostTask): () => unknown {
  const task = find(asked.name);
  if (task === undefined) throw { tag: "unknown-task" };
  let args: unknown[];
  try {
    args = json.read(asked.args);
  } catch (error) {
    throw { tag: "bad-args", val: describe(error) };
  }
  return () => task(...args);
}

/**
 * Describes a thrown value for the host's log. The text has the name and the message of the error and of its causes.
 */
export function describe(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  return thrown.cause === undefined ? String(thrown) : `${thrown}: ${describe(thrown.cause)}`;
}
