// The web's interfaces, as applications use them. `/NAME` answers with what the check of that name returns.

import { BackgroundTasks } from "epilogue";

const checks: Record<string, () => unknown> = {
  async abort() {
    const controller = new AbortController();
    const aborted = new Promise((resolve) => controller.signal.addEventListener("abort", resolve));
    controller.abort(new Error("enough"));
    await aborted;
    const first = AbortSignal.any([new AbortController().signal, controller.signal]);
    return [controller.signal.aborted, String(controller.signal.reason), AbortSignal.abort().aborted, first.aborted];
  },
  base64: () => [btoa("abc"), atob("YWJj")],
  async bodies() {
    const response = new Response("text");
    const copy = response.clone();
    const texts = [await response.text(), await copy.text()];
    const again = await response.text().catch((error) => String(error));
    const streamed = new Response(new Blob(["a", new Uint8Array([98])]).stream());
    const [left, right] = [streamed.clone(), streamed];
    return [texts, again, await left.text(), await right.text(), new Response("x").headers.get("content-type")];
  },
  cleared: async () => {
    const fired: string[] = [];
    const timer = setTimeout(() => fired.push("cleared"), 1);
    clearTimeout(timer);
    const interval = setInterval(() => fired.push("interval"), 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    clearInterval(interval);
    return [fired.includes("cleared"), fired.filter((name) => name === "interval").length > 1];
  },
  clone: () =>
    structuredClone({ map: new Map([[1, new Date(0)]]) })
      .map.get(1)
      ?.toISOString(),
  console: () => {
    const cycle: Record<string, unknown> = { name: "cycle" };
    cycle.self = cycle;
    class User {
      constructor(readonly id: number) {}
    }
    console.log("text", 1, 2n, null, undefined, [1, "a"], { a: { b: { c: { d: { e: 1 } } } } });
    console.log(new User(7), new Map([["k", new Set([1])]]), cycle, () => 1, new URL("http://a/b"), Symbol("s"));
    console.log("x".repeat(10_000));
    console.error("to stderr", new RangeError("too far", { cause: "a cause" }).message);
    return "printed";
  },
  encoding: () => {
    const decoder = new TextDecoder();
    const bytes = new TextEncoder().encode("é€😀");
    const parts = Array.from(bytes, (byte) => decoder.decode(Uint8Array.of(byte), { stream: true }));
    return [parts.join(""), bytes.length, new TextDecoder().decode(Uint8Array.of(0xff))];
  },
  headers: () => {
    const headers = new Headers({ B: "2", a: "1" });
    headers.append("a", "3");
    headers.append("set-cookie", "x=1");
    headers.append("set-cookie", "y=2");
    return [[...headers], headers.getSetCookie(), headers.get("A")];
  },
  random: () => {
    const uuid = crypto.randomUUID();
    const numbers = [Math.random(), ...crypto.getRandomValues(new Uint32Array(4)), uuid];
    return { numbers, isUuid: /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(uuid) };
  },
  request: async () => {
    const request = new Request("http://a/b?c", { method: "post", body: new URLSearchParams({ a: "1 &" }) });
    const copy = new Request(request.clone(), { headers: { "x-more": "1" } });
    return [request.method, await copy.text(), request.headers.get("content-type"), copy.headers.get("x-more")];
  },
  status: () => [100, 600, 204].map((status) => tried(() => new Response("body", { status }))),
  streams: async () => {
    const upper = new TransformStream<string, string>({
      transform: (text, controller) => controller.enqueue(text.toUpperCase()),
    });
    const source = new ReadableStream<string>({
      start(controller) {
        for (const text of ["a", "b"]) controller.enqueue(text);
        controller.close();
      },
    });
    const got: string[] = [];
    for await (const text of source.pipeThrough(upper)) got.push(text);
    return got;
  },
  timeout: async () => {
    const signal = AbortSignal.timeout(1);
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    return signal.reason?.name;
  },
  url: () => {
    const url = new URL("../c?x=1&x=2#h", "https://user:pw@exämple.com:8080/a/b");
    return [url.href, url.searchParams.getAll("x"), URL.canParse("nope"), new URLSearchParams("a=b+c").get("a")];
  },
};

function tried(call: () => unknown): string {
  try {
    call();
    return "no error";
  } catch (error) {
    return String(error);
  }
}

export default {
  async fetch(request: Request): Promise<Response> {
    const name = new URL(request.url).pathname.slice(1);
    BackgroundTasks.defer(() => {}, { name: "end" });
    const check = checks[name];
    return check ? Response.json(await check()) : new Response(`no check is named ${name}`, { status: 404 });
  },
};
