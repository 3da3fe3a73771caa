// The export `epilogue:background/runner`, whose functions the host calls after the response.

import { alive } from "./alive.js";
import { takeClosure, tearDown } from "./background.js";
import { type HostTask, TaskContext } from "./context.js";
import * as json from "./json.js";
import { find } from "./task.js";

/** The component's export `runner`. The functions of this export throw the cases of the WIT's errors. */
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

/** Returns a function that calls the task's function with the task's arguments. */
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

/** Describes a thrown value for the host's log, with the names and messages of the value and its causes. */
export function describe(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  return thrown.cause === undefined ? String(thrown) : `${thrown}: ${describe(thrown.cause)}`;
}
