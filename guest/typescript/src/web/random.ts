// Random numbers from the host. QuickJS has its own generator, but starts it during the build, so all instances would
// get the same numbers.

import random from "wasi:random/random@0.3.0";
import { define } from "./define.js";

/** The largest number of bytes that `crypto.getRandomValues` fills in one call, according to the standard. */
const MOST = 65_536;

Math.random = () => {
  const bytes = new DataView(random.getRandomBytes(8).slice().buffer);
  // The number has 53 random bits, because a JavaScript number below 1 cannot hold more.
  return (bytes.getUint32(0) * 2 ** 21 + (bytes.getUint32(4) >>> 11)) / 2 ** 53;
};

function getRandomValues<T extends ArrayBufferView>(array: T): T {
  if (array.byteLength > MOST)
    throw new RangeError(`getRandomValues fills at most ${MOST} bytes, not ${array.byteLength}`);
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength).set(random.getRandomBytes(array.byteLength));
  return array;
}

function randomUUID(): string {
  const bytes = random.getRandomBytes(16);
  const hex = Array.from(bytes, (byte, index) => {
    const marked = index === 6 ? (byte & 0x0f) | 0x40 : index === 8 ? (byte & 0x3f) | 0x80 : byte;
    return marked.toString(16).padStart(2, "0");
  }).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

define({ crypto: { getRandomValues, randomUUID } });
