// Defines properties of `globalThis`.

/** Defines globals that do not exist yet. Like the engine's own globals, they are writable and not enumerable. */
export function define(globals: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(globals)) {
    if (name in globalThis) continue;
    Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });
  }
}
