// The global `wit` of componentize-qjs, which makes streams and futures for the host.

import type { ByteReadable, Readable } from "wasi:http/types@0.3.0";

/** The writable end of a byte stream. */
export interface ByteWritable {
  /** Writes all bytes, or fewer bytes if the reader has gone. Returns the number of written bytes. */
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
