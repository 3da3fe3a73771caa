// Defines `Headers`. This package has its own `Headers`, because a polyfill needs 50 µs for each header in QuickJS.
// That is more time than everything else in a small request.

import { define } from "./define.js";

/** The types from which `Headers` can be made. */
export type HeadersSource = Headers | Iterable<readonly string[]> | Readonly<Record<string, string>> | undefined;

const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const BAD_VALUE = /[\0\r\n]/;

class Headers {
  /** The values of each header. The header's name is in lowercase. */
  readonly #values = new Map<string, string[]>();

  constructor(source?: HeadersSource) {
    if (source === undefined || source === null) return;
    if (source instanceof Headers) {
      for (const [name, values] of source.#values) this.#values.set(name, [...values]);
    } else if (Symbol.iterator in source) {
      for (const [name, value] of source as Iterable<readonly string[]>) this.append(String(name), String(value));
    } else {
      for (const [name, value] of Object.entries(source)) this.append(name, value);
    }
  }

  append(name: string, value: string): void {
    const key = keyOf(name);
    const values = this.#values.get(key);
    if (values === undefined) this.#values.set(key, [checked(value)]);
    else values.push(checked(value));
  }

  delete(name: string): void {
    this.#values.delete(keyOf(name));
  }

  get(name: string): string | null {
    return this.#values.get(keyOf(name))?.join(", ") ?? null;
  }

  getSetCookie(): string[] {
    return [...(this.#values.get("set-cookie") ?? [])];
  }

  has(name: string): boolean {
    return this.#values.has(keyOf(name));
  }

  set(name: string, value: string): void {
    this.#values.set(keyOf(name), [checked(value)]);
  }

  forEach(callback: (value: string, name: string, headers: Headers) => void, self?: unknown): void {
    for (const [name, value] of this) callback.call(self, value, name, this);
  }

  /** Yields the headers in alphabetical order of their names. Each `set-cookie` header is a separate entry. */
  *entries(): IterableIterator<[string, string]> {
    for (const name of [...this.#values.keys()].sort()) {
      const values = this.#values.get(name) ?? [];
      if (name !== "set-cookie") yield [name, values.join(", ")];
      else for (const value of values) yield [name, value];
    }
  }

  *keys(): IterableIterator<string> {
    for (const [name] of this) yield name;
  }

  *values(): IterableIterator<string> {
    for (const [, value] of this) yield value;
  }

  [Symbol.iterator](): IterableIterator<[string, string]> {
    return this.entries();
  }
}

function keyOf(name: string): string {
  if (!NAME.test(name)) throw new TypeError(`${JSON.stringify(name)} cannot be the name of a header`);
  return String(name).toLowerCase();
}

function checked(value: string): string {
  const text = String(value).trim();
  if (BAD_VALUE.test(text)) throw new TypeError(`${JSON.stringify(text)} cannot be the value of a header`);
  return text;
}

define({ Headers });

export { Headers };
