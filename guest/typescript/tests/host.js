// Builds guests, and runs the host with one of them. Tests wait for the host's events, never for a time.

import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const BUILD = path("../bin/epilogue-build.js");

/** The command `epilogue`: what the variable EPILOGUE names, or what cargo has built in this repository. */
export const EPILOGUE = (() => {
  const candidates = ["debug", "release"].map((profile) => path(`../../../target/${profile}/epilogue`));
  const found = process.env.EPILOGUE ?? candidates.find(existsSync);
  if (found === undefined)
    throw new Error("there is no host: run `cargo build`, or set EPILOGUE to the command's path");
  return found;
})();

const folder = mkdtempSync(join(tmpdir(), "epilogue-ts-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

/** Runs a program to its end. */
export function run(program, args, options = {}) {
  return spawnSync(program, args, { encoding: "utf8", ...options });
}

/** Runs `epilogue-build`. Returns its exit code and what it printed. */
export function tryBuild(entry, output) {
  const { status, stdout, stderr } = run(process.execPath, [BUILD, entry, "-o", output]);
  return { status, output: stdout + stderr };
}

/** Builds the guest `tests/apps/NAME.ts`. Returns the component's path. */
export function build(name) {
  const output = join(folder, `${name}.wasm`);
  const built = tryBuild(path(`apps/${name}.ts`), output);
  if (built.status !== 0) throw new Error(built.output);
  return output;
}

/** Composes a guest with the adapters, for hosts that know nothing of tasks. Returns the component's path. */
export function compose(guest) {
  const output = guest.replace(/\.wasm$/, "-composed.wasm");
  const composed = run(EPILOGUE, ["compose", guest, "-o", output]);
  if (composed.status !== 0) throw new Error(composed.stderr);
  return output;
}

/** The name and the state of the task whose end this event tells. A composed guest tells it in a line on stderr. */
function end({ target, name, state, line = "" }) {
  if (target === "epilogue::task" && state !== undefined && state !== "stored") return `${name} ${state}`;
  const told = / epilogue::task: request="[^"]*" task=\d+ name="([^"]*)" state="([^"]*)"/.exec(line);
  return told === null ? undefined : `${told[1]} ${told[2]}`;
}

/** A running host with one component. */
export class Host {
  #process;
  #lines = { stdout: [], stderr: [] };
  #waiting = new Set();

  /** Starts `epilogue up`. The settings are options without their dashes, such as `{ "task-timeout": "1s" }`. */
  static async start(component, settings = {}) {
    const manifest = join(mkdtempSync(join(folder, "app-")), "spin.toml");
    writeFileSync(
      manifest,
      `spin_manifest_version = 2
[application]
name = "test"
[[trigger.http]]
route = "/..."
component = "app"
[component.app]
source = ${JSON.stringify(component)}
environment = { GREETING = "hello" }
`,
    );
    return Host.up(manifest, settings);
  }

  /** Starts `epilogue up` with a manifest that has one component. */
  static async up(manifest, settings = {}) {
    const host = new Host();
    const options = Object.entries(settings).map(([name, value]) => `--${name}=${value}`);
    const args = [
      "up",
      "-f",
      manifest,
      "--listen",
      "127.0.0.1:0",
      "--log-format",
      "json",
      "--threads",
      "1",
      ...options,
    ];
    host.#process = spawn(EPILOGUE, args, { stdio: ["ignore", "pipe", "pipe"] });
    host.#follow("stdout");
    host.#follow("stderr");
    host.url = await host.until(() => host.#lines.stdout.find((line) => line.startsWith("Serving "))?.slice(8));
    return host;
  }

  #follow(name) {
    createInterface({ input: this.#process[name] }).on("line", (line) => {
      this.#lines[name].push(line);
      for (const check of this.#waiting) check();
    });
  }

  /** Waits until `find` finds something in what the host has printed. Fails if the host ends before. */
  until(find) {
    return new Promise((resolve, reject) => {
      const ended = () => reject(new Error(`the host has ended:\n${this.#lines.stderr.join("\n")}`));
      const check = () => {
        const found = find();
        if (found === undefined || found === false) return;
        this.#waiting.delete(check);
        this.#process.off("close", ended);
        resolve(found);
      };
      this.#process.on("close", ended);
      this.#waiting.add(check);
      check();
    });
  }

  fetch(target, options) {
    return fetch(this.url + target, { redirect: "manual", ...options });
  }

  /** All events so far. */
  get events() {
    return this.#lines.stderr.flatMap((line) => (line.startsWith("{") ? [JSON.parse(line)] : []));
  }

  /** Waits until `count` tasks have ended since the start. Returns their names and states, in the order of their ends. */
  async ends(count) {
    const ends = () => this.events.map(end).filter((end) => end !== undefined);
    await this.until(() => ends().length >= count);
    return ends();
  }

  /** Waits until the guest has printed `last` to stdout. Returns all lines that it has printed so far. */
  async printed(last) {
    await this.until(() => this.output.includes(last));
    return this.output;
  }

  /** The lines that the guest has printed to stdout so far. */
  get output() {
    // The first three lines are the host's: its address, and the component's route.
    return this.#lines.stdout.slice(3).map((line) => JSON.parse(line).line);
  }

  /** Waits until the host has printed a line with this text to stderr. Returns all such lines so far. */
  logged(text) {
    const found = () => this.#lines.stderr.filter((line) => line.includes(text));
    return this.until(() => (found().length > 0 ? found() : undefined));
  }

  /** The lines of stderr so far. */
  get log() {
    return this.#lines.stderr;
  }

  /** Stops the host after all requests and tasks have ended. */
  async stop() {
    const ended = new Promise((resolve) => this.#process.on("close", resolve));
    this.#process.kill("SIGTERM");
    return ended;
  }
}
