// The project that `epilogue new --ts` creates: it can be built, served and composed.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { EPILOGUE, Host, run } from "./host.js";

const folder = mkdtempSync(join(tmpdir(), "epilogue-new-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a program in a folder, and expects that it succeeds. */
function succeed(program, args, cwd) {
  const { status, stdout, stderr } = run(program, args, { cwd });
  assert.equal(status, 0, stdout + stderr);
}

test("a new project is built, served and composed", async () => {
  succeed(EPILOGUE, ["new", "--ts", "thank-you"], folder);
  const project = join(folder, "thank-you");
  // Without scripts, because this package is built already.
  succeed("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund"], project);
  succeed(EPILOGUE, ["build"], project);

  const manifest = readFileSync(join(project, "spin.toml"), "utf8");
  assert.match(manifest, /^source = "dist\/thank-you-portable\.wasm"$/m);
  const order = JSON.stringify({ id: 7, email: "a@b.c" });
  for (const component of ["thank-you.wasm", "thank-you-portable.wasm"]) {
    const host = await Host.start(join(project, "dist", component));
    const response = await host.fetch("/send-notification/a@b.c", { method: "POST" });
    assert.equal(await response.text(), "Notification sent\n");
    assert.deepEqual(await host.printed("message to a@b.c"), ["message to a@b.c"]);
    assert.deepEqual(await host.ends(1), ["write_log succeeded"]);
    await host.stop();
  }

  // With the manifest's task engine, and in the composed form without one.
  for (const start of [
    () => Host.up(join(project, "spin.toml")),
    () => Host.start(join(project, "dist", "thank-you-portable.wasm")),
  ]) {
    const host = await start();
    const headers = { "content-type": "application/json" };
    const response = await host.fetch("/orders", { method: "POST", headers, body: order });
    assert.equal(await response.text(), order);
    assert.deepEqual((await host.ends(2)).sort(), ["print succeeded", "send_receipt succeeded"]);
    const printed = await host.until(() => host.output.length >= 3 && host.output.toSorted());
    assert.deepEqual(printed, ["order 7: closed", "order 7: printed at attempt 2", "order 7: receipt to a@b.c"]);
    await host.stop();
  }
});
