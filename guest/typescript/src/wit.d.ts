// The global variable `wit` of componentize-qjs, with which a guest makes streams and futures for the host.

import type { ByteReadable, Readable } from "wasi:http/types@0.3.0";

/** The writable end of a byte stream. */
export interface ByteWritable {
  /** Writes all bytes. If the reader closes the stream, writes fewer bytes. Returns the number of written bytes. */
  writeAll(bytes: Uint8Array): Promise<number>;
  drop(): void;
}
interface FutureWritable {
  /** Writes the value of the future. Returns false if the reader has closed the future. */
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
