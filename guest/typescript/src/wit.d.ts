// The global `wit` of componentize-qjs: it makes the streams and futures that pass to the host.

import type { ByteReadable, Readable } from "wasi:http/types@0.3.0";

/** The end of a byte stream that is written. */
export interface ByteWritable {
  /** Writes everything, or less if the reader has gone. Returns the number of bytes written. */
  writeAll(bytes: Uint8Array): Promise<number>;
  drop(): void;
}
interface FutureWritable {
  /** Returns false if the reader has gone. */
  write(value: unknown): Promise<boolean>;
  drop(): void;
}

declare global {
  const wit: {
    Stream: { (type: unknown): { readable: ByteReadable; writable: ByteWritable }; readonly U8: unknown };
    Future: {
      (type: unknown): { readable: Readable<never>; writable: FutureWritable };
      readonly types: Readonly<Record<string, unknown>>;
    };
  };
}
