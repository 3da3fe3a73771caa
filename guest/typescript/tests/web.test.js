// The web's interfaces inside a guest.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { build, Host } from "./host.js";

let guest;
let host;
before(async () => {
  guest = build("web");
  host = await Host.start(guest);
});
after(() => host.stop());

const check = async (name) => {
  const response = await host.fetch(`/${name}`);
  assert.equal(response.status, 200, await response.clone().text());
  return response.json();
};

const expected = {
  abort: [true, "Error: enough", true, true],
  base64: ["YWJj", "abc"],
  bodies: [["text", "text"], "TypeError: the body was read before", "ab", "ab", "text/plain;charset=UTF-8"],
  cleared: [false, true],
  clone: "1970-01-01T00:00:00.000Z",
  encoding: ["é€😀", 9, "\ufffd"],
  headers: [
    [
      ["a", "1, 3"],
      ["b", "2"],
      ["set-cookie", "x=1"],
      ["set-cookie", "y=2"],
    ],
    ["x=1", "y=2"],
    "1, 3",
  ],
  request: ["POST", "a=1+%26", "application/x-www-form-urlencoded;charset=UTF-8", "1"],
  status: [
    "RangeError: a response cannot have the status 100: it is a whole number from 200 to 599",
    "RangeError: a response cannot have the status 600: it is a whole number from 200 to 599",
    "TypeError: a response of status 204 cannot have a body",
  ],
  streams: ["A", "B"],
  timeout: "TimeoutError",
  url: ["https://user:pw@xn--exmple-cua.com:8080/c?x=1&x=2#h", ["1", "2"], false, "b c"],
};

for (const [name, value] of Object.entries(expected)) {
  test(name, async () => assert.deepEqual(await check(name), value));
}

test("console writes text to stdout and errors to stderr", async () => {
  await check("console");
  const long = "x".repeat(10_000);
  const printed = await host.printed(long);
  assert.deepEqual(printed.slice(-3), [
    'text 1 2n null undefined [1, "a"] {a: {b: {c: {d: […]}}}}',
    'User {id: 7} Map {"k" => Set {1}} {name: "cycle", self: [circular]} [function (anonymous)] http://a/b Symbol(s)',
    long,
  ]);
  await host.logged("to stderr too far");
});

test("random numbers differ between instances and requests", async () => {
  const first = await check("random");
  const second = await check("random");
  const other = await Host.start(guest);
  const third = await (await other.fetch("/random")).json();
  await other.stop();
  assert.ok(first.isUuid);
  const numbers = [first, second, third].flatMap((random) => random.numbers);
  assert.equal(new Set(numbers).size, 18);
});
