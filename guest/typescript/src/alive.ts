// Waits for a promise that other code fulfills.

/**
 * How often `alive` lets JavaScript's queued jobs run before `alive` makes a stream. Making a stream is slower than
 * this.
 */
const ROUNDS = 32;

/**
 * Waits for `promise`, also if code of another call fulfills it.
 *
 * componentize-qjs ends a call of the host as soon as the call itself does not wait for the host. For example, a task
 * may wait for a promise of the handler, and the handler may wait for a timer. The task's call would then end without a
 * result, and the guest would trap. To prevent this, the call also reads a stream that ends when the promise is
 * settled.
 */
export async function alive<T>(promise: Promise<T>): Promise<T> {
  if (await isSettledSoon(promise)) return promise;
  const { readable, writable } = wit.Stream(wit.Stream.U8);
  const ended = readable.read(1);
  try {
    return await promise;
  } finally {
    writable.drop();
    await ended;
    readable.drop();
  }
}

/**
 * Reports whether the promise becomes settled after a few rounds of queued jobs, without a wait for the host. Most
 * handlers and tasks do not wait for the host.
 */
async function isSettledSoon(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const settle = () => {
    settled = true;
  };
  promise.then(settle, settle);
  for (let round = 0; round < ROUNDS && !settled; round++) await null;
  return settled;
}
