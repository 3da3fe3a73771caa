// Converts the arguments of tasks to JSON and back, because the host keeps arguments as bytes.

/**
 * The type `T`, if JSON can hold the values of `T` without a change. Otherwise, this is a type without values, so that
 * the compiler reports an error for the argument. JSON loses functions, symbols and bigints, and changes dates, maps,
 * sets and byte arrays.
 */
export type Json<T> = T extends string | number | boolean | null | undefined
  ? T
  : T extends bigint | symbol | ((...args: never[]) => unknown)
    ? never
    : T extends Date | RegExp | ReadonlyMap<unknown, unknown> | ReadonlySet<unknown> | ArrayBuffer | ArrayBufferView
      ? never
      : { [K in keyof T]: Json<T[K]> };

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/**
 * Writes a task's arguments as JSON. If JSON would change a value, throws a `TypeError` that names the first such
 * value.
 */
export function write(args: readonly unknown[]): Uint8Array {
  const given = args.slice(0, args.findLastIndex((argument) => argument !== undefined) + 1);
  for (const [index, argument] of given.entries()) check(argument, `argument ${index + 1}`, []);
  return encoder.encode(JSON.stringify(given));
}

/** Reads a task's arguments from JSON. Throws an error if the bytes are not a JSON array. */
export function read(bytes: Uint8Array): unknown[] {
  const args: unknown = JSON.parse(decoder.decode(bytes));
  if (!Array.isArray(args)) throw new TypeError("the arguments are not a JSON array");
  return args;
}

function check(value: unknown, place: string, parents: object[]): void {
  switch (typeof value) {
    case "string":
    case "boolean":
      return;
    case "number":
      if (!Number.isFinite(value)) throw new TypeError(`${place} is ${value}, which JSON does not have`);
      return;
    case "object":
      break;
    default:
      throw new TypeError(`${place} is a value of type ${typeof value}, which JSON does not have`);
  }
  if (value === null) return;
  if (parents.includes(value)) throw new TypeError(`${place} contains itself`);
  const inside = [...parents, value];
  if (Array.isArray(value)) {
    // This is no `forEach`, because `forEach` skips holes in the array, and JSON turns holes into null.
    for (let index = 0; index < value.length; index++) check(value[index], `${place}[${index}]`, inside);
    return;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && prototype !== Object.prototype) {
    throw new TypeError(`${place} is a ${value.constructor.name}, which JSON would turn into another value`);
  }
  for (const [key, property] of Object.entries(value)) {
    // JSON leaves out a property whose value is undefined. For the task, the property's value is then undefined too.
    if (property !== undefined) check(property, `${place}.${key}`, inside);
  }
}
