// npm runs this script after `npm install` in this folder, before `npm pack`, and when a project links to this folder.
// In the last case, npm has not installed the development dependencies.

import { execSync } from "node:child_process";
import { existsSync } from "node:fs";

const run = (command) => execSync(command, { cwd: new URL("..", import.meta.url), stdio: "inherit" });

if (!existsSync(new URL("../node_modules/typescript", import.meta.url))) {
  run("npm ci --ignore-scripts --no-audit --no-fund");
}
run("npm run build");
