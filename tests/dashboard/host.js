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

/** A running command of `epilogue`. `printed` waits for a line, and `stop` ends the command. */
function start(folder, ...options) {
  const child = spawn(EPILOGUE, options, { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  const looks = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk) => {
      output += chunk;
      for (const look of looks) look();
    });
  }
  const ended = once(child, "exit");
  const printed = (pattern) => {
    const { promise, resolve, reject } = deferred();
    const look = () => pattern.test(output) && resolve(output.match(pattern)[1]);
    looks.push(look);
    const fail = () => reject(new Error(`${EPILOGUE} ${options[0]} did not print ${pattern}:\n${output}`));
    ended.then(fail, reject);
    look();
    return promise;
  };
  const stop = async () => {
    child.kill("SIGTERM");
    await ended;
  };
  return { child, printed, ended, stop };
}

const DASHBOARD = /^Dashboard (http:\S+?)\/?$/m;

/** A running host with a dashboard. `process` is missing if somebody else has started the host. */
export async function startHost() {
  if (process.env.DASHBOARD) return { dashboard: process.env.DASHBOARD, app: process.env.APP, stop() {} };
  const folder = mkdtempSync(join(tmpdir(), "epilogue-dashboard-"));
  writeFileSync(join(folder, "spin.toml"), manifest);
  const engine = `sqlite:${join(folder, "tasks.db")}`;
  const host = start(folder, "up", "--listen=127.0.0.1:0", "--dashboard", "--dashboard-actions", `--engine=${engine}`, "--work", "--grace=60s");
  const [app, dashboard] = await Promise.all([host.printed(/^Serving (http:\S+)/m), host.printed(DASHBOARD)]);
  const stop = async () => {
    await host.stop();
    rmSync(folder, { recursive: true });
  };
  return { app, dashboard, engine, process: host.child, ended: host.ended, stop };
}

/** A dashboard of a task engine, without a host. */
export async function startDashboard(engine) {
  const { printed, stop } = start(tmpdir(), "dashboard", `--engine=${engine}`);
  return { dashboard: await printed(DASHBOARD), stop };
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
