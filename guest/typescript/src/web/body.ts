// The bodies of requests and responses.

import { MultipartParseError, parseMultipart } from "@remix-run/multipart-parser";
import { ReadableStream as Polyfill } from "web-streams-polyfill";
import { File, formDataToBlob } from "./forms.js";

/** The types from which a body can be made. */
export type BodySource =
  | ArrayBuffer
  | ArrayBufferView
  | AsyncIterable<Uint8Array>
  | Blob
  | FormData
  | ReadableStream<Uint8Array>
  | URLSearchParams
  | string;

/** The content of a body: null, all bytes, or a stream of bytes. */
export type Content = null | Uint8Array | ReadableStream<Uint8Array>;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Returns the content for a body that is made from `source`, and the `content-type` that fits this source. */
export function contentOf(source: BodySource | null | undefined): [Content, string | undefined] {
  if (source === null || source === undefined) return [null, undefined];
  if (typeof source === "string") return [encoder.encode(source), "text/plain;charset=UTF-8"];
  if (source instanceof ReadableStream) return [source, undefined];
  if (source instanceof ArrayBuffer) return [new Uint8Array(source), undefined];
  if (ArrayBuffer.isView(source))
    return [new Uint8Array(source.buffer, source.byteOffset, source.byteLength), undefined];
  if (source instanceof URLSearchParams) {
    return [encoder.encode(String(source)), "application/x-www-form-urlencoded;charset=UTF-8"];
  }
  if (source instanceof FormData) return contentOf(formDataToBlob(source));
  if (source instanceof Blob) return [source.stream(), source.type || undefined];
  if (Symbol.asyncIterator in source) return [Polyfill.from(source) as ReadableStream<Uint8Array>, undefined];
  return [encoder.encode(String(source)), "text/plain;charset=UTF-8"];
}

/** The common base class of requests and responses. */
export abstract class Body {
  abstract readonly headers: { get(name: string): string | null };
  #content: Content;
  #stream: ReadableStream<Uint8Array> | null = null;
  #used = false;

  constructor(content: Content) {
    this.#content = content;
  }

  /** The body as a stream. Each read of this property returns the same stream. */
  get body(): ReadableStream<Uint8Array> | null {
    const content = this.#content;
    if (content === null) return null;
    this.#stream ??= content instanceof ReadableStream ? content : streamOf(content);
    return this.#stream;
  }

  get bodyUsed(): boolean {
    // The body also counts as used if other code has read from the stream.
    return this.#used || (this.#stream?.locked ?? false);
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return (await this.bytes()).slice().buffer as ArrayBuffer;
  }

  async blob(): Promise<Blob> {
    return new Blob([await this.arrayBuffer()], { type: this.headers.get("content-type") ?? "" });
  }

  async bytes(): Promise<Uint8Array> {
    const content = this.take();
    if (content === null) return new Uint8Array();
    return content instanceof Uint8Array ? content : collect(content);
  }

  async formData(): Promise<FormData> {
    const type = this.headers.get("content-type") ?? "";
    const form = new FormData();
    if (/^application\/x-www-form-urlencoded\b/i.test(type)) {
      for (const [name, value] of new URLSearchParams(await this.text())) form.append(name, value);
      return form;
    }
    const boundary = /^multipart\/form-data\b.*;\s*boundary=(?:"([^"]*)"|([^;\s]*))/i.exec(type);
    if (boundary === null) throw new TypeError(`a body of type ${JSON.stringify(type)} is not a form`);
    const limits = { maxFileSize: Number.POSITIVE_INFINITY, maxTotalSize: Number.POSITIVE_INFINITY };
    try {
      for (const part of parseMultipart(await this.bytes(), {
        boundary: boundary[1] ?? boundary[2] ?? "",
        ...limits,
      })) {
        const { filename, name, mediaType } = part;
        if (name === undefined) continue;
        if (filename === undefined) form.append(name, part.text);
        else form.append(name, new File([part.bytes.slice()], filename, { type: mediaType ?? "" }));
      }
    } catch (error) {
      throw error instanceof MultipartParseError ? new TypeError(error.message, { cause: error }) : error;
    }
    return form;
  }

  async json(): Promise<unknown> {
    return JSON.parse(await this.text());
  }

  async text(): Promise<string> {
    return decoder.decode(await this.bytes());
  }

  /** Returns the content, and marks the body as used. Throws an error if the body was already used. */
  take(): Content {
    if (this.bodyUsed) throw new TypeError("the body was read before");
    const content = this.#stream ?? this.#content;
    this.#used = content !== null;
    return content;
  }

  /** Returns a copy of the content, and keeps the content. Throws an error if the body was already used. */
  protected share(): Content {
    if (this.bodyUsed) throw new TypeError("the body was read before");
    const content = this.#stream ?? this.#content;
    if (!(content instanceof ReadableStream)) return content;
    const [own, other] = content.tee();
    this.#content = this.#stream = own;
    return other;
  }
}

/**
 * Returns the content of a response's body, and marks the body as used. Throws an error if the body was already used.
 */
export function contentTaken(response: Response): Content {
  return response instanceof Body ? response.take() : response.body;
}

function streamOf(bytes: Uint8Array): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      if (bytes.length > 0) controller.enqueue(bytes);
      controller.close();
    },
  });
}

async function collect(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  const reader = stream.getReader();
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    chunks.push(read.value);
    length += read.value.length;
  }
  if (chunks.length === 1 && chunks[0] !== undefined) return chunks[0];
  const all = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}
