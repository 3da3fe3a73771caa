// Builds the folder `dist`, which has the package's modules and the WIT that componentize-qjs reads. The WIT is the
// world in `wit/world.wit`. Its dependencies are Epilogue's own WIT and the packages of WASI.

import { execSync } from "node:child_process";
import { cpSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const wit = path("../dist/wit");

// This removes the old `dist`. Otherwise, modules that no longer exist would stay in it.
rmSync(path("../dist"), { recursive: true, force: true });
execSync("npx --no-install tsc", { cwd: path(".."), stdio: "inherit" });
cpSync(path("../wit"), wit, { recursive: true });
cpSync(path("../../../wit"), `${wit}/deps/epilogue-background`, {
  recursive: true,
  filter: (file) => !/\/(deps|vendor\.sh)$/.test(file),
});
cpSync(path("../../../wit/deps"), `${wit}/deps`, { recursive: true });
