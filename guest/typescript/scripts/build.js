// Builds `dist`, which has the modules and the WIT that componentize-qjs reads. The WIT is the world of this package,
// with Epilogue's contract and the packages of WASI as dependencies.

import { execSync } from "node:child_process";
import { cpSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const wit = path("../dist/wit");

// The old `dist` is removed, so that no deleted module stays in it.
rmSync(path("../dist"), { recursive: true, force: true });
execSync("npx --no-install tsc", { cwd: path(".."), stdio: "inherit" });
cpSync(path("../wit"), wit, { recursive: true });
cpSync(path("../../../wit"), `${wit}/deps/epilogue-background`, {
  recursive: true,
  filter: (file) => !/\/(deps|vendor\.sh)$/.test(file),
});
cpSync(path("../../../wit/deps"), `${wit}/deps`, { recursive: true });
