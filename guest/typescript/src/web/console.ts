// Defines `console`. As in Node, `log`, `info` and `debug` write to stdout, and `warn`, `error` and `trace` write to
// stderr.

import stderr from "wasi:cli/stderr@0.2.0";
import stdout, { type Output } from "wasi:cli/stdout@0.2.0";
import { define } from "./define.js";

/** The largest number of bytes that WASI takes in one call. */
const AT_ONCE = 4096;
/** The largest depth at which `console` shows objects inside objects. */
const DEPTH = 4;

const encoder = new TextEncoder();

function line(output: () => Output) {
  return (...values: unknown[]) => {
    const bytes = encoder.encode(
      `${values.map((value) => (typeof value === "string" ? value : show(value))).join(" ")}\n`,
    );
    for (let start = 0; start < bytes.length; start += AT_ONCE) {
      output().blockingWriteAndFlush(bytes.subarray(start, start + AT_ONCE));
    }
  };
}

const out = line(() => stdout.getStdout());
const error = line(() => stderr.getStderr());

function show(value: unknown, depth = 0, parents: object[] = []): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return `[function ${value.name || "(anonymous)"}]`;
  if (typeof value !== "object" || value === null) return String(value);
  if (value instanceof Error) return showError(value, depth, parents);
  if (value instanceof Date || value instanceof RegExp || value instanceof URL) return String(value);
  if (parents.includes(value)) return "[circular]";
  if (depth === DEPTH) return "[…]";
  const inner = (item: unknown) => show(item, depth + 1, [...parents, value]);
  if (Array.isArray(value) || ArrayBuffer.isView(value)) return `[${Array.from(value as unknown[], inner).join(", ")}]`;
  const name = value.constructor?.name ?? "";
  if (value instanceof Map) return `${name} {${[...value].map(([k, v]) => `${inner(k)} => ${inner(v)}`).join(", ")}}`;
  if (value instanceof Set) return `${name} {${[...value].map(inner).join(", ")}}`;
  const prefix = name === "" || name === "Object" ? "" : `${name} `;
  return `${prefix}{${Object.entries(value)
    .map(([key, item]) => `${key}: ${inner(item)}`)
    .join(", ")}}`;
}

function showError(error: Error, depth: number, parents: object[]): string {
  const stack = error.stack ? `\n${error.stack.trimEnd()}` : "";
  const cause = error.cause === undefined ? "" : `\ncaused by: ${show(error.cause, depth, [...parents, error])}`;
  return `${error}${stack}${cause}`;
}

function assert(condition?: unknown, ...values: unknown[]) {
  if (!condition) error("assertion failed:", ...values);
}

define({ console: { assert, debug: out, dir: out, error, info: out, log: out, trace: error, warn: error } });
