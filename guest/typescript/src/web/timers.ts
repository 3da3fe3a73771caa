// Defines `setTimeout`, `setInterval`, `clearTimeout` and `clearInterval`, with the host's clock. If the app clears a
// timer, its callback does not run. The wait at the host still goes on, because componentize-qjs cannot cancel a wait.
// The instance cannot serve another request until this wait has ended.

import clock from "wasi:clocks/monotonic-clock@0.3.0";
import { nanoseconds } from "../options.js";
import { define } from "./define.js";

/**
 * The longest single wait at the host, in milliseconds. After the app has cleared a timer, the wait lasts at most this
 * long.
 */
const SLICE = 100;

type Callback = (...args: unknown[]) => void;

const running = new Set<number>();
let last = 0;

async function run(id: number, delay: number, repeats: boolean, callback: () => void): Promise<void> {
  do {
    for (let left = delay; left > 0 && running.has(id); left -= SLICE) {
      await clock.waitFor(nanoseconds(Math.min(left, SLICE)));
    }
    // Also with a delay of zero, the callback runs only after the code that is running now.
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
