// An application with Hono: routes, JSON, forms, streams, and tasks after each kind of response.

import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { build, compose, Host } from "./host.js";

let guest;
let composed;
before(() => {
  guest = build("hono");
  composed = compose(guest);
});

for (const form of ["native", "composed"]) {
  describe(form, () => {
    let host;
    before(async () => {
      host = await Host.start(form === "native" ? guest : composed);
    });
    after(() => host.stop());

    const text = async (target, options) => (await host.fetch(target, options)).text();

    test("the tutorial's request has its tasks in order, and its cleanup after them", async () => {
      const response = await host.fetch("/send-notification/a@b.c?q=x", { method: "POST" });
      assert.deepEqual(await response.json(), { message: "Message sent" });
      assert.equal(response.headers.get("content-length"), "26");
      const printed = await host.printed("session closed");
      assert.deepEqual(printed, ["found query: x", "message to a@b.c", "session closed"]);
      assert.deepEqual(await host.ends(2), ["write_log succeeded", "write_log succeeded"]);
    });

    test("routes, parameters and middleware", async () => {
      const response = await host.fetch("/api/users/7", { headers: { origin: "http://a" } });
      assert.deepEqual(await response.json(), { id: 7 });
      assert.equal(response.headers.get("access-control-allow-origin"), "*");
      assert.equal((await host.fetch("/nowhere")).status, 404);
      assert.equal(await text("/teapot"), "short and stout");
      const moved = await host.fetch("/redirect");
      assert.deepEqual([moved.status, moved.headers.get("location")], [302, "/elsewhere"]);
    });

    test("JSON and forms", async () => {
      const value = { name: "Ada", list: [1, "é", null] };
      const headers = { "content-type": "application/json" };
      assert.equal(
        await text("/echo", { method: "POST", headers, body: JSON.stringify(value) }),
        JSON.stringify(value),
      );

      const urlencoded = await text("/form", { method: "POST", body: new URLSearchParams({ name: "A & B" }) });
      assert.deepEqual(JSON.parse(urlencoded), { name: "A & B", file: null });
      const form = new FormData();
      form.append("name", "é");
      form.append("file", new File(["content\r\nof the file"], "a.txt", { type: "text/plain" }));
      const multipart = JSON.parse(await text("/form", { method: "POST", body: form }));
      assert.deepEqual(multipart, { name: "é", file: "a.txt text/plain content\r\nof the file" });
    });

    test("a large body arrives as a stream", async () => {
      assert.equal(await text("/upload", { method: "POST", body: new Uint8Array(5_000_000) }), "5000000");
    });

    test("a response without a body, and two cookies", async () => {
      const response = await host.fetch("/cookies");
      assert.deepEqual([response.status, response.headers.getSetCookie()], [204, ["a=1", "b=2; Path=/"]]);
      const head = await host.fetch("/api/users/7", { method: "HEAD" });
      assert.deepEqual([head.status, await head.text()], [200, ""]);
    });

    test("server-sent events", async () => {
      assert.equal(await text("/events"), "data: event 1\nid: 1\n\ndata: event 2\nid: 2\n\n");
    });

    test("s8 a task starts after the end of the stream", async () => {
      assert.equal(await text("/stream"), "one two three");
      const printed = await host.printed("after the stream");
      assert.deepEqual(printed.slice(-2), ["the stream ends", "after the stream"]);
    });

    test("s2 a task starts after the client has the last byte", async () => {
      const { hostname, port } = new URL(host.url);
      const client = connect(Number(port), hostname);
      client.pause();
      client.write("GET /large HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
      await new Promise((resolve) => client.once("readable", resolve));
      // This is answered beside the response that nobody reads.
      assert.equal((await host.fetch("/api/users/1")).status, 200);
      assert.ok(!host.output.includes("after the last byte"));
      client.resume();
      await host.printed("after the last byte");
    });

    test("s2 a body that breaks off lets the tasks run", async () => {
      await assert.rejects(text("/broken"));
      await host.printed("after the broken body");
      await host.logged("the source has failed");
    });

    test("the promise of waitUntil is a task", async () => {
      assert.equal(await text("/wait"), "ok");
      // The tasks of earlier tests end at any time.
      let ends = [];
      for (let count = 2; ends.length < 2; count++)
        ends = (await host.ends(count)).filter((end) => end.startsWith("waitUntil "));
      assert.deepEqual(ends, ["waitUntil succeeded", "waitUntil failed"]);
      await host.printed("waited");
      await host.logged("rejected");
    });

    test("an exception in a route is Hono's to handle", async () => {
      assert.equal((await host.fetch("/crash")).status, 500);
      await host.logged("a bug");
    });

    test("fetch says why there is none", async () => {
      assert.match(await text("/fetch"), /^TypeError: there is no fetch in a TypeScript guest yet: /);
    });
  });
}
