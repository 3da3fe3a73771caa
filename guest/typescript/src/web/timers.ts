// Defines `setTimeout`, `setInterval`, `clearTimeout` and `clearInterval`, with the host's clock.
//
// A cleared timer does not fire. But the host still waits, because componentize-qjs cannot cancel a wait. During this
// wait, the host keeps the instance, within the limits of the request's tasks.

import clock from "wasi:clocks/monotonic-clock@0.3.0";
import { nanoseconds } from "../options.js";
import { define } from "./define.js";

/** The longest single wait, in milliseconds. After a timer is cleared, its call can end after at most this time. */
const SLICE = 100;

type Callback = (...args: unknown[]) => void;

const running = new Set<number>();
let last = 0;

async function run(id: number, delay: number, repeats: boolean, callback: () => void): Promise<void> {
  do {
    for (let left = delay; left > 0 && running.has(id); left -= SLICE) {
      await clock.waitFor(nanoseconds(Math.min(left, SLICE)));
    }
    // A delay of zero means that the callback runs after the running code, and not at once.
    if (delay === 0) await clock.waitFor(0);
    if (!running.has(id)) return;
    if (!repeats) running.delete(id);
    callback();
  } while (running.has(id));
}

function start(repeats: boolean, callback: Callback, delay: number | undefined, args: unknown[]): number {
  const id = ++last;
  running.add(id);
  const milliseconds = Number.isFinite(delay) ? Math.max(repeats ? 1 : 0, Number(delay)) : 0;
  void run(id, milliseconds, repeats, () => {
    try {
      callback(...args);
    } catch (error) {
      console.error("in a timer:", error);
    }
  });
  return id;
}

function clear(id?: number): void {
  if (id !== undefined) running.delete(id);
}

define({
  setTimeout: (callback: Callback, delay?: number, ...args: unknown[]) => start(false, callback, delay, args),
  setInterval: (callback: Callback, delay?: number, ...args: unknown[]) => start(true, callback, delay, args),
  clearTimeout: clear,
  clearInterval: clear,
});
