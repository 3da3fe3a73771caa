// The host whose dashboard is tested, and the traffic that it gets.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dirname, "../..");
const EPILOGUE = process.env.EPILOGUE ?? join(ROOT, "target/release/epilogue");
const GUESTS = process.env.GUESTS ?? join(ROOT, "target/wasm/wasm32-wasip2/release/examples");

const ROUTES = { tasks: "/", durable: "/durable", texts: "/..." };

const manifest = `spin_manifest_version = 2
[application]
name = "shop"
${Object.entries(ROUTES)
  .map(
    ([guest, route]) => `
[[trigger.http]]
route = "${route}"
component = "${guest}"
[component.${guest}]
source = "${join(GUESTS, `${guest}.wasm`)}"
allowed_outbound_hosts = ["http://127.0.0.1:*"]
`,
  )
  .join("")}`;

/** A running host. `dashboard` and `app` are its addresses, and `process` is undefined if somebody else started it. */
export async function startHost() {
  if (process.env.DASHBOARD) return { dashboard: process.env.DASHBOARD, app: process.env.APP, stop() {} };
  const folder = mkdtempSync(join(tmpdir(), "epilogue-dashboard-"));
  writeFileSync(join(folder, "spin.toml"), manifest);
  const options = ["--listen=127.0.0.1:0", "--dashboard=127.0.0.1:0", "--dashboard-actions", `--engine=sqlite:${join(folder, "tasks.db")}`, "--work", "--grace=60s"];
  const host = spawn(EPILOGUE, ["up", ...options], { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  let printed = "";
  const found = (pattern) => {
    const { promise, resolve, reject } = Promise.withResolvers?.() ?? deferred();
    const look = (chunk) => {
      printed += chunk ?? "";
      const match = printed.match(pattern);
      if (match) resolve(match[1]);
    };
    for (const stream of [host.stdout, host.stderr]) stream.on("data", look);
    host.on("exit", () => reject(new Error(`the host ended before it printed ${pattern}:\n${printed}`)));
    look();
    return promise;
  };
  const [app, dashboard] = await Promise.all([found(/Serving (http:\S+)/), found(/[Dd]ashboard\S* .*?(http:\/\/[^\s"/]+)/)]);
  const ended = once(host, "exit");
  const stop = async () => {
    host.kill("SIGTERM");
    await ended;
    rmSync(folder, { recursive: true });
  };
  return { app, dashboard, process: host, ended, stop };
}

// Node 20 has no `Promise.withResolvers`.
function deferred() {
  const parts = {};
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
  return parts;
}

/** A server at which a guest's task waits: `arrived` resolves when the task has come, and `open` lets it go on. */
export async function gate() {
  const { promise: arrived, resolve } = deferred();
  let open;
  const server = createServer((_, response) => {
    open = () => response.end();
    resolve();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = () => {
    open?.();
    server.close();
    server.closeAllConnections();
  };
  return { url: `http://127.0.0.1:${server.address().port}`, arrived, open: () => open(), close };
}
