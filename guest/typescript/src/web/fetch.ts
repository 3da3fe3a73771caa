// Defines `Request` and `Response`, and a `fetch` that fails with the reason why `fetch` is not supported.

import { Body, type BodySource, type Content, contentOf } from "./body.js";
import { define } from "./define.js";
import { Headers, type HeadersSource } from "./headers.js";

/** The statuses of responses that cannot have a body. */
const WITHOUT_BODY = new Set([101, 103, 204, 205, 304]);

/** Returns the content of a body, and `headers` with a `content-type` that fits the body. */
function prepare(source: BodySource | null | undefined, init: HeadersSource): [Content, Headers] {
  const headers = new Headers(init);
  const [content, type] = contentOf(source);
  if (type !== undefined && !headers.has("content-type")) headers.set("content-type", type);
  return [content, headers];
}

interface RequestOptions {
  body?: BodySource | null;
  headers?: HeadersSource;
  method?: string;
  signal?: AbortSignal | null;
}

class Request extends Body {
  readonly headers: Headers;
  readonly method: string;
  readonly url: string;
  readonly signal: AbortSignal;

  /** If `isParsed` is true, the constructor does not parse the URL `input`. Parsing a URL takes 0.2 ms in QuickJS. */
  constructor(input: Request | URL | string, init: RequestOptions = {}, isParsed = false) {
    const from = input instanceof Request ? input : undefined;
    const [content, headers] = prepare(init.body, init.headers ?? from?.headers);
    super(init.body === undefined && from !== undefined ? from.take() : content);
    this.headers = headers;
    this.method = (init.method ?? from?.method ?? "GET").toUpperCase();
    this.url = from?.url ?? (isParsed ? String(input) : new URL(String(input)).href);
    this.signal = init.signal ?? from?.signal ?? new AbortController().signal;
    if (content !== null && (this.method === "GET" || this.method === "HEAD")) {
      throw new TypeError(`a request of method ${this.method} cannot have a body`);
    }
  }

  clone(): Request {
    const { headers, method, signal } = this;
    return new Request(this.url, { headers, method, signal, body: this.share() as BodySource | null }, true);
  }
}

/** Makes a `Request` for the request that the host has received. */
export function received(
  url: string,
  method: string,
  headers: globalThis.Headers,
  body: ReadableStream<Uint8Array> | null,
): globalThis.Request {
  const request = new Request(url, { method, headers, body }, true);
  return request as unknown as globalThis.Request;
}

interface ResponseOptions {
  headers?: HeadersSource;
  status?: number;
  statusText?: string;
}

class Response extends Body {
  readonly headers: Headers;
  readonly status: number;
  readonly statusText: string;

  constructor(source?: BodySource | null, { headers, status = 200, statusText = "" }: ResponseOptions = {}) {
    if (!Number.isInteger(status) || status < 200 || status > 599) {
      throw new RangeError(`a response cannot have the status ${status}: it is a whole number from 200 to 599`);
    }
    const [content, prepared] = prepare(source, headers);
    if (content !== null && WITHOUT_BODY.has(status))
      throw new TypeError(`a response of status ${status} cannot have a body`);
    super(content);
    this.headers = prepared;
    this.status = status;
    this.statusText = statusText;
  }

  get ok(): boolean {
    return this.status < 300;
  }

  clone(): Response {
    const { headers, status, statusText } = this;
    return new Response(this.share() as BodySource | null, { headers, status, statusText });
  }

  static json(value: unknown, init: ResponseOptions = {}): Response {
    const headers = new Headers(init.headers);
    if (!headers.has("content-type")) headers.set("content-type", "application/json");
    return new Response(JSON.stringify(value), { ...init, headers });
  }

  static redirect(url: URL | string, status = 302): Response {
    return new Response(null, { status, headers: { location: String(url) } });
  }
}

function fetch(): Promise<never> {
  const reason = "componentize-qjs cannot import wasi:http/client, whose functions are asynchronous";
  return Promise.reject(new TypeError(`there is no fetch in a TypeScript guest yet: ${reason}`));
}

define({ Request, Response, fetch });
