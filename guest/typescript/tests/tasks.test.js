// The promises about tasks, by their numbers in the guide's list, for a guest in TypeScript: natively and composed.

import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { build, compose, Host } from "./host.js";

let guest;
let composed;
before(() => {
  guest = build("tasks");
  composed = compose(guest);
});

for (const form of ["native", "composed"]) {
  describe(form, () => {
    let host;
    const start = async (settings) => {
      await host?.stop();
      host = await Host.start(form === "native" ? guest : composed, settings);
    };
    after(() => host?.stop());

    const request = async (query) => {
      await start();
      const response = await host.fetch(`/?${query}`);
      assert.equal(response.status, 200);
      assert.equal(await response.text(), "tasks\n");
    };

    /** The lines that the guest prints for the tasks of this query, up to `last`. */
    const lines = async (query, last) => {
      await request(query);
      return host.printed(last);
    };

    /** The ends of the tasks of this query. */
    const ends = async (query, count) => {
      await request(query);
      return host.ends(count);
    };

    test("s1 tasks run in the order of adding, one at a time", async () => {
      const printed = await lines("run=slow,ok,closure,slow", 'closure Map {"key" => 1n}');
      assert.deepEqual(printed.slice(0, 4), ["slow begins", "slow ends", "ok", 'closure Map {"key" => 1n}']);
    });

    test("s3 and s4 a failure is recorded with its cause, and skips the rest", async () => {
      assert.deepEqual(await ends("run=ok,fail,ok,closure", 4), [
        "ok succeeded",
        "fail failed",
        "ok skipped",
        "defer skipped",
      ]);
      assert.match((await host.logged("cannot print"))[0], /Error: cannot print: Error: no paper/);
    });

    test("s4 the guest can let the rest run", async () => {
      assert.deepEqual(await ends("continue&run=fail,ok", 2), ["fail failed", "ok succeeded"]);
    });

    test("s3 a task is tried as often as its options say", async () => {
      assert.deepEqual(await ends("run=flaky", 1), ["flaky succeeded"]);
      assert.deepEqual(await host.printed("flaky 3"), ["flaky 1", "flaky 2", "flaky 3"]);
    });

    test("s3 a name or arguments that the guest does not know are failures", async () => {
      assert.deepEqual(await ends("continue&run=gone,changed", 2), ["gone failed", "greet failed"]);
    });

    test("s15 a closure may wait for work that the handler began", async () => {
      assert.deepEqual(await ends("run=handlers_work,ok", 2), ["defer succeeded", "ok succeeded"]);
      assert.deepEqual(await host.printed("ok"), ["the handler's work ends", "ok"]);
    });

    test("s3 a task that was cancelled does not run", async () => {
      assert.deepEqual(await ends("run=cancelled,ok", 2), ["ok cancelled", "ok succeeded"]);
      assert.deepEqual(await host.printed("ok"), ["ok"]);
    });

    test("s5 a running task adds behind all others", async () => {
      assert.deepEqual(await ends("run=nested,slow", 3), ["nested succeeded", "slow succeeded", "ok succeeded"]);
    });

    test("s6 after an exception in the handler the client gets 500 and the tasks for a failure run", async () => {
      await start();
      const response = await host.fetch("/throw?run=ok,after_failure");
      assert.equal(response.status, 500);
      assert.ok(!(await response.text()).includes("bug"), "the client should not see the error");
      assert.deepEqual(await host.ends(2), ["ok discarded", "after_failure succeeded"]);
      const outcome = await host.until(() => host.output[0]);
      assert.match(outcome, /^\{kind: "handler-failed", reason: ".*TypeError: a bug in the handler.*"\}$/);
      assert.match((await host.logged("at fetch"))[0], /at fetch/, "the log should have the stack");
    });

    test("s6 a handler that returns no response has failed", async () => {
      await start();
      assert.equal((await host.fetch("/nothing")).status, 500);
      await host.logged("the fetch handler returned no Response");
    });

    test("s7 a task may ask to be cancelled when the client leaves", async () => {
      await start();
      const { hostname, port } = new URL(host.url);
      const client = connect(Number(port), hostname);
      client.write("GET /endless?run=ok,unless_gone HTTP/1.1\r\nhost: a\r\n\r\n");
      await new Promise((resolve) => client.once("data", resolve));
      client.destroy();
      assert.deepEqual(await host.ends(2), ["ok succeeded", "unless_gone cancelled"]);
    });

    test("s9 the cleanups run after the tasks, the last registered first", async () => {
      const printed = await lines("run=teardown,slow", "first registered, last run");
      assert.deepEqual(printed, [
        "slow begins",
        "slow ends",
        "last registered, first run",
        "registered by a cleanup",
        "first registered, last run",
      ]);
      await host.logged("Error: a cleanup fails");
      assert.ok(!host.log.some((line) => line.includes("registered too late")));
    });

    test("s10 a task that waits past its timeout is stopped", async () => {
      assert.deepEqual(await ends("continue&run=sleep,ok", 2), ["sleep timed-out", "ok succeeded"]);
    });

    test("s11 a task is refused with a reason", async () => {
      await start();
      const refusals = await (await host.fetch("/refused")).json();
      const reasons = refusals.map((refusal) => refusal.replace('task "greet" was not accepted: ', ""));
      assert.deepEqual(reasons.slice(0, 6), [
        "bad-args: argument 1 is a Date, which JSON would turn into another value",
        "bad-args: argument 1.a[1] is NaN, which JSON does not have",
        "bad-args: argument 1 is a value of type function, which JSON does not have",
        "bad-args: argument 1.big is a value of type bigint, which JSON does not have",
        "bad-args: argument 1[0] contains itself",
        "bad-args: argument 1[0] is a value of type undefined, which JSON does not have",
      ]);
      assert.match(reasons[6], /^args-too-large: its arguments are longer than \d+ bytes$/);
      assert.match(reasons[7], /^unsupported: /);
    });

    test("s16 a task knows its request, its trace and itself", async () => {
      await start();
      const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
      await host.fetch("/?run=identity", { headers: { traceparent } });
      await host.until(() => host.output.length > 0);
      const [id, task, name, key, ...rest] = host.output[0].split(" ");
      assert.deepEqual([task, name, key, ...rest], ["1", "identity", `${id}:1`, traceparent, "delivered"]);
    });

    test("s18 forgotten work ends, natively before the cleanups", async () => {
      await request("run=forgotten");
      await host.printed("teardown");
      const printed = await host.printed("forgotten work");
      // A composed component does not wait for what a call has begun.
      assert.deepEqual(form === "native" ? printed : printed.sort(), ["forgotten work", "teardown"]);
    });

    test("arguments arrive as they were added, optional ones too", async () => {
      assert.deepEqual(await lines("run=greet,ok", "ok"), ["hello Ada, a+b", "hello Ada, a+b", "ok"]);
    });

    test("an instance serves one request after the other, and keeps nothing of them", async () => {
      await start();
      for (let request = 1; request <= 20; request++) {
        assert.equal((await host.fetch("/?run=closure,ok,teardown")).status, 200);
        await host.ends(2 * request);
      }
      await host.until(() => host.output.filter((line) => line === "first registered, last run").length === 20);
      assert.equal(host.output.length, 20 * 5);
    });

    test("the environment is the component's", async () => {
      await start();
      assert.equal((await (await host.fetch("/env")).json()).GREETING, "hello");
    });
  });
}

describe("native only", () => {
  let host;
  after(() => host?.stop());

  test("s10 and s14 a task that computes past its timeout ends alone, and the rest runs in a fresh instance", async () => {
    host = await Host.start(guest);
    await host.fetch("/?continue&run=spin,closure,ok");
    assert.deepEqual(await host.ends(3), ["spin timed-out", "defer abandoned", "ok succeeded"]);
  });

  test("a durable task runs from the task engine", async () => {
    await host.stop();
    host = await Host.start(guest, { engine: "memory:", work: "true" });
    await host.fetch("/durable?run=durable");
    assert.deepEqual(await host.ends(1), ["durable succeeded"]);
    assert.deepEqual(await host.printed("durable"), ["durable"]);
  });
});
