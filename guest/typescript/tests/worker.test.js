// The guide's page for people who come from Cloudflare Workers.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { build, Host } from "./host.js";

let host;
before(async () => {
  host = await Host.start(build("worker"));
});
after(() => host.stop());

test("a Worker's waitUntil is a task", async () => {
  assert.equal(await (await host.fetch("/shop")).text(), "hello\n");
  assert.deepEqual(await host.ends(1), ["waitUntil succeeded"]);
  assert.deepEqual(await host.printed("counted /shop"), ["counted /shop"]);
});

test("a task is retried, which a promise is not", async () => {
  assert.equal(await (await host.fetch("/task")).text(), "Hello\n");
  await host.printed("counted /task");
  assert.ok((await host.ends(2)).includes("count_visit succeeded"));
  await host.logged("will be retried");
});
