// Converts the host's requests for the fetch handler, and the handler's responses for the host.

import types, {
  type ByteReadable,
  type Request as HostRequest,
  type Response as HostResponse,
  type Readable,
  type Result,
  type Trailers,
} from "wasi:http/types@0.3.0";
import { describe } from "./runner.js";
import { contentTaken } from "./web/body.js";
import { received } from "./web/fetch.js";
import type { ByteWritable } from "./wit.js";

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/**
 * The headers about the connection. Only the host may set these headers: it refuses a response that has one of them.
 */
const OF_THE_CONNECTION = new Set([
  "connection",
  "host",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);

/** Converts the host's request to a `Request`. The package reads the body from the host when the handler reads it. */
export function receive(incoming: HostRequest): Request {
  const method = incoming.getMethod();
  const headers = new Headers();
  for (const [name, value] of incoming.getHeaders().copyAll()) headers.append(name, decoder.decode(value));
  const scheme = incoming.getScheme()?.tag === "HTTPS" ? "https" : "http";
  const authority = incoming.getAuthority() ?? headers.get("host") ?? "localhost";
  const url = `${scheme}://${authority}${incoming.getPathWithQuery() ?? "/"}`;
  const name = (method.val ?? method.tag).toUpperCase();
  const hasBody = name !== "GET" && name !== "HEAD";
  return received(url, name, headers, hasBody ? bodyOf(incoming) : null);
}

/**
 * Converts the handler's response to a response for the host. The package writes the body to the host after this
 * function has returned.
 */
export function answer(request: Request, response: Response): HostResponse {
  if (!(response instanceof Response)) throw new TypeError("the fetch handler returned no Response");
  const entries: [string, Uint8Array][] = [];
  for (const [name, value] of response.headers) {
    if (!OF_THE_CONNECTION.has(name)) entries.push([name, encoder.encode(value)]);
  }
  const content = contentTaken(response);
  if (content instanceof Uint8Array && !response.headers.has("content-length")) {
    entries.push(["content-length", encoder.encode(String(content.length))]);
  }
  const trailers = future<Trailers>("RESULT_OPTION");
  if (content === null || request.method === "HEAD") {
    if (content instanceof ReadableStream) void content.cancel();
    trailers.write({ tag: "ok", val: null });
    return outgoing(response.status, entries, null, trailers.readable);
  }
  const { readable, writable } = wit.Stream(wit.Stream.U8);
  const made = outgoing(response.status, entries, readable, trailers.readable);
  const sending = content instanceof Uint8Array ? writable.writeAll(content) : copy(content, writable);
  void sending.then(
    () => {
      writable.drop();
      trailers.write({ tag: "ok", val: null });
    },
    (error) => {
      console.error(error);
      writable.drop();
      trailers.write({ tag: "err", val: { tag: "internal-error", val: describe(error) } });
    },
  );
  return made;
}

/** Copies a body to the host, until the body ends or the client leaves. */
async function copy(body: ReadableStream<Uint8Array>, writable: ByteWritable): Promise<void> {
  const reader = body.getReader();
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    if ((await writable.writeAll(read.value)) < read.value.length) {
      await reader.cancel(new Error("the client has gone"));
      return;
    }
  }
}

function outgoing(
  status: number,
  headers: [string, Uint8Array][],
  body: ByteReadable | null,
  trailers: Readable<Trailers>,
): HostResponse {
  const [response, sent] = types.Response.new(types.Fields.fromList(headers), body, trailers);
  sent.drop();
  response.setStatusCode(status);
  return response;
}

function bodyOf(incoming: HostRequest): ReadableStream<Uint8Array> {
  const taken = future<Result<null>>("RESULT_VOID");
  taken.write({ tag: "ok", val: null });
  const [bytes, trailers] = types.Request.consumeBody(incoming, taken.readable);
  const chunks = bytes[Symbol.asyncIterator]();
  const source: UnderlyingDefaultSource<Uint8Array> = {
    async pull(controller) {
      const { done, value } = await chunks.next();
      if (!done) return controller.enqueue(value);
      const end = await trailers.read();
      if (end.tag === "err") controller.error(new TypeError(`the request's body broke off: ${end.val.tag}`));
      else controller.close();
    },
    async cancel() {
      await chunks.return?.();
    },
  };
  // With a high-water mark of 0, the stream reads data from the host only if the handler asks for data.
  return new ReadableStream(source, { highWaterMark: 0 });
}

/**
 * Creates a future. In componentize-qjs, the type of a future has a name that comes from the WIT. The world has two
 * such types. This function uses the type whose name begins with `prefix`.
 */
function future<T>(prefix: "RESULT_OPTION" | "RESULT_VOID"): { readable: Readable<T>; write(value: T): void } {
  const name = Object.keys(wit.Future.types).find((name) => name.startsWith(prefix));
  const { readable, writable } = wit.Future(wit.Future.types[name ?? prefix]);
  return { readable, write: (value) => void writable.write(value) };
}
