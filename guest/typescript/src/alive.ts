// Waiting for a promise that other code fulfills.

/** How many rounds of JavaScript's job queue a promise gets, before a stream is made for it. A stream takes as long as many. */
const ROUNDS = 32;

/**
 * Waits for `promise`, whoever fulfills it.
 *
 * componentize-qjs ends a call of the host as soon as that call itself waits for nothing of the host's. A call that waits for
 * a timer of another call, as a task does that awaits a handler's promise, would end without a result, which is a trap. So
 * the call also reads a stream that ends when the promise is settled.
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

/** Whether the promise is settled by code that waits for nothing. Most handlers and tasks are such code. */
async function isSettledSoon(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const settle = () => {
    settled = true;
  };
  promise.then(settle, settle);
  for (let round = 0; round < ROUNDS && !settled; round++) await null;
  return settled;
}
