// What the host calls after the response: the export `epilogue:background/runner`.

import { alive } from "./alive.js";
import { takeClosure, tearDown } from "./background.js";
import { type HostTask, TaskContext } from "./context.js";
import * as json from "./json.js";
import { find } from "./task.js";

/** The component's export. Its functions throw the cases of the WIT's errors. */
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

/** The call that a task stands for. */
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

/** What the host's log says of a thrown value: its name, its message, and those of its causes. */
export function describe(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  return thrown.cause === undefined ? String(thrown) : `${thrown}: ${describe(thrown.cause)}`;
}
