#!/usr/bin/env node
// Builds a component from an app in TypeScript or JavaScript. esbuild bundles the app, and componentize-qjs puts the
// bundle into a component with QuickJS.

import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { componentize } from "componentize-qjs";
import { build } from "esbuild";

const USAGE = "usage: epilogue-build ENTRY -o OUT.wasm";

const packageFile = (relative) => fileURLToPath(new URL(relative, import.meta.url));

/** Reads the command line. */
function options() {
  const { values, positionals } = parseArgs({
    options: { output: { type: "string", short: "o" }, help: { type: "boolean", short: "h" } },
    allowPositionals: true,
  });
  if (values.help) {
    console.log(`${USAGE}\n\nBuilds a component from a module whose default export has a method \`fetch\`.`);
    process.exit(0);
  }
  const [entry, ...rest] = positionals;
  if (entry === undefined || rest.length > 0 || values.output === undefined) throw new Error(USAGE);
  return { entry: resolve(entry), output: resolve(values.output) };
}

/** Bundles the app and this package into one module, which has the component's exports. */
async function bundle(entry) {
  const own = JSON.stringify(packageFile("../dist/index.js"));
  const contents = `
    import { serve } from ${own};
    import app from ${JSON.stringify(entry)};
    export const { handler, runner } = serve(app);
  `;
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: dirname(entry), sourcefile: "epilogue-build.js" },
    bundle: true,
    write: false,
    format: "esm",
    platform: "neutral",
    mainFields: ["module", "main"],
    target: "es2023",
    keepNames: true,
    external: ["epilogue:*", "wasi:*"],
    // Some polyfills use `global`, which is Node's name for `globalThis`.
    define: { global: "globalThis" },
    // With the first alias, the bundle has only one copy of this package. With the second alias, fetch-blob uses the
    // web streams of this package and not its own.
    alias: {
      epilogue: packageFile("../dist/index.js"),
      "web-streams-polyfill/dist/ponyfill.es2018.js": fileURLToPath(import.meta.resolve("web-streams-polyfill")),
    },
    plugins: [{ name: "node", setup: explainNode }],
    logLevel: "warning",
    logOverride: { "import-is-undefined": "error" },
  });
  return outputFiles[0].text;
}

/** Says why a module of Node cannot be imported. */
function explainNode({ onResolve }) {
  onResolve({ filter: /^node:/ }, ({ path, importer }) =>
    // If the global web streams are missing, fetch-blob imports the web streams of Node. In this bundle, the global web
    // streams are never missing.
    importer.endsWith(join("fetch-blob", "streams.cjs"))
      ? { path, external: true }
      : { errors: [{ text: `Could not resolve "${path}": a component has no modules of Node` }] },
  );
}

/** Makes a component from the module `jsSource`, and returns the component. */
async function embed(jsSource) {
  try {
    const { component } = await componentize({ witPath: packageFile("../dist/wit"), world: "app", jsSource });
    return component;
  } catch (error) {
    const advice =
      "note: code at the top level of a module runs while the component is built, and not for each request";
    throw new Error(`${error.message.trim()}\n${advice}`);
  }
}

async function main() {
  const { entry, output } = options();
  const jsSource = await bundle(entry);
  const component = await embed(jsSource);
  mkdirSync(dirname(output), { recursive: true });
  // This replaces the file in one step, so that `epilogue up --watch` never reads an incomplete file.
  writeFileSync(`${output}.new`, component);
  renameSync(`${output}.new`, output);
}

try {
  await main();
} catch (error) {
  // esbuild has already printed its own errors.
  if (error.errors === undefined) console.error(`epilogue-build: ${error.message}`);
  process.exitCode = 1;
}
