// The command `epilogue-build`, and what a user sees of mistakes.

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { run, tryBuild } from "./host.js";

const folder = mkdtempSync(join(tmpdir(), "epilogue-build-"));
after(() => rmSync(folder, { recursive: true }));

/** Builds a module with this text, and expects that it fails. Returns what was printed. */
function refusal(text) {
  const entry = join(folder, "app.ts");
  const component = join(folder, "app.wasm");
  writeFileSync(entry, text);
  const { status, output } = tryBuild(entry, component);
  assert.equal(status, 1, output);
  assert.ok(!existsSync(component));
  return output;
}

test("a module without a default export is refused", () => {
  assert.match(refusal("export const app = 1;"), /No matching export in ".*app\.ts" for import "default"/);
});

test("a default export without fetch is refused", () => {
  const expected = /the default export has no method `fetch`/;
  assert.match(refusal("export default { get() {} };"), expected);
});

test("a module of Node is named, with the reason why there is none", () => {
  const output = refusal('import { readFileSync } from "node:fs"; export default { fetch: readFileSync };');
  assert.match(output, /Could not resolve "node:fs"/);
  assert.match(output, /a component has no modules of Node/);
});

test("an exception at the top level is shown, with what that means", () => {
  const output = refusal('throw new Error("not now"); export default { fetch() {} };');
  assert.match(output, /Error: not now/);
  assert.match(output, /code at the top level of a module runs while the component is built/);
});

test("two tasks of one name are refused", () => {
  const output = refusal(`
    import { task } from "epilogue";
    task("a", () => {});
    task("a", () => {});
    export default { fetch: () => new Response() };
  `);
  assert.match(output, /two tasks are named "a": rename one/);
});

test("a mistake on the command line shows the usage", () => {
  const command = new URL("../bin/epilogue-build.js", import.meta.url).pathname;
  const { status, stderr } = run(process.execPath, [command, "a.ts"]);
  assert.equal(status, 1);
  assert.equal(stderr, "epilogue-build: usage: epilogue-build ENTRY -o OUT.wasm\n");
});
