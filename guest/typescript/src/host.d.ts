// The interfaces of `wit/world.wit`, in the form in which componentize-qjs presents them to JavaScript.

declare module "epilogue:background/queue@0.1.0" {
  export interface HostTaskOptions {
    runWhen: "success" | "failure" | "always";
    timeout: number | null;
    maxAttempts: number | null;
    backoff: { first: number; max: number } | null;
    cancelOnDisconnect: boolean;
    instanceBound: boolean;
    durable: boolean;
  }

  const queue: {
    addTask(name: string, args: Uint8Array, options: HostTaskOptions): number;
    cancel(id: number): boolean;
    onFailure(policy: "stop" | "continue"): void;
    needsTeardown(): void;
  };
  export default queue;
}

declare module "epilogue:background/context@0.1.0" {
  const context: {
    request(): { requestId: string; traceContext: { traceparent: string; tracestate: string | null } } | null;
    idempotencyKey(task: number): string | null;
  };
  export default context;
}

declare module "wasi:http/types@0.3.0" {
  export type ErrorCode = { tag: string; val?: string | null };
  export type Result<T> = { tag: "ok"; val: T } | { tag: "err"; val: ErrorCode };
  export type Trailers = Result<Fields | null>;

  export class Fields {
    /** Throws an object such as `{ tag: "invalid-syntax" }` or `{ tag: "forbidden" }` if the host refuses a header. */
    static fromList(entries: [string, Uint8Array][]): Fields;
    copyAll(): [string, Uint8Array][];
  }
  export class Request {
    static consumeBody(request: Request, result: Readable<Result<null>>): [ByteReadable, Readable<Trailers>];
    getMethod(): { tag: string; val?: string };
    getScheme(): { tag: string; val?: string } | null;
    getAuthority(): string | null;
    getPathWithQuery(): string | null;
    getHeaders(): Fields;
  }
  export class Response {
    static new(
      headers: Fields,
      contents: ByteReadable | null,
      trailers: Readable<Trailers>,
    ): [Response, Readable<Result<null>>];
    /** Sets the status of the response. Throws an error if HTTP does not have this status. */
    setStatusCode(status: number): void;
  }

  /** The readable end of a future. */
  export interface Readable<T> {
    read(): Promise<T>;
    drop(): void;
  }
  /** The readable end of a byte stream. An iteration over the stream yields parts of the data. */
  export interface ByteReadable extends AsyncIterable<Uint8Array> {
    read(count?: number): Promise<Uint8Array>;
    drop(): void;
  }

  const types: { Fields: typeof Fields; Request: typeof Request; Response: typeof Response };
  export default types;
}

declare module "wasi:cli/environment@0.3.0" {
  const environment: { getEnvironment(): [string, string][] };
  export default environment;
}

declare module "wasi:clocks/monotonic-clock@0.3.0" {
  const clock: { waitFor(nanoseconds: number): Promise<void> };
  export default clock;
}

declare module "wasi:random/random@0.3.0" {
  const random: { getRandomBytes(length: number): Uint8Array };
  export default random;
}

declare module "wasi:cli/stdout@0.2.0" {
  /** A stream of bytes. One call can write at most 4,096 bytes. */
  export interface Output {
    blockingWriteAndFlush(bytes: Uint8Array): void;
  }
  const stdout: { getStdout(): Output };
  export default stdout;
}

declare module "wasi:cli/stderr@0.2.0" {
  import type { Output } from "wasi:cli/stdout@0.2.0";

  const stderr: { getStderr(): Output };
  export default stderr;
}
