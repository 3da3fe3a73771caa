// Waits for a promise that other code fulfills.

/**
 * The number of rounds of JavaScript's job queue before `alive` makes a stream. A stream takes as long as many rounds.
 */
const ROUNDS = 32;

/**
 * Waits for `promise`, also if code of another call fulfills it.
 *
 * componentize-qjs ends a call as soon as the call itself waits for nothing from the host. For example, a task may wait
 * for a promise of the handler, which waits for a timer. The task's call would end without a result, which is a trap.
 * So the call also reads a stream that ends when the promise is settled.
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
 * Reports whether the promise is settled soon, without a wait for the host. Most handlers and tasks do not wait for the
 * host.
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
