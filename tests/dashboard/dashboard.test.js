// Tests of the dashboard in a browser: each screen with real traffic. They wait for what the pages show, never for a time.
// `tests/README.md` says how to run them.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { chromium } from "playwright-core";
import { gate, startDashboard, startHost } from "./host.js";

const SCREENSHOTS = resolve(process.env.SCREENSHOTS ?? "screenshots");
const FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync";
const WIDE = { width: 1280, height: 800 };
const NARROW = { width: 360, height: 740 };
const SCREENS = ["requests", "tasks", "dead", "workers", "latency", "limits"];
// HTML, a text that changes its direction, two lines, and the most bytes that a name may have.
const HOSTILE = `<img src=x onerror="document.title='broken'"><b>\u202egpj.exe\n second line`.padEnd(1000, "<script>");

// Some tests need a host that the tests have started.
const skip = process.env.DASHBOARD && "somebody else has started the host";

let host;
let browser;
let page;
let faults;

before(async () => {
  mkdirSync(SCREENSHOTS, { recursive: true });
  host = await startHost();
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS.split(" ") });
});

after(async () => {
  await browser?.close();
  await host?.stop();
});

beforeEach(async () => {
  await open();
});

afterEach(async () => {
  await page.context().close();
  assert.deepEqual(faults, [], "the page reported errors");
});

/** A page with its own settings. Errors and violations of the content security policy end the test. */
async function open(options = {}) {
  await page?.context().close();
  const context = await browser.newContext({ viewport: WIDE, reducedMotion: "reduce", ...options });
  page = await context.newPage();
  page.setDefaultTimeout(20_000);
  faults = [];
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  page.on("dialog", (dialog) => faults.push(`a dialog was opened: ${dialog.message()}`));
}

const show = async (screen) => {
  await page.goto(`${host.dashboard}/#${screen}`);
  await page.getByText("ready", { exact: true }).waitFor();
};
const shoot = (name) => page.screenshot({ path: join(SCREENSHOTS, `dashboard-${name}.png`) });
const has = (selector, text) => page.locator(selector).filter({ hasText: text }).first().waitFor();
const api = async (path) => (await fetch(`${host.dashboard}/api/${path}`)).json();

/** Sends a request to the application, and returns its id. */
async function send(target, options) {
  const response = await fetch(host.app + target, options);
  await response.text();
  return response.headers.get("x-request-id");
}

const row = (id) => page.locator(`tr[data-key="${id}"]`);
const bar = (label) => page.locator(`[data-bar][aria-label^="${label}"]`);
const box = (locator) => locator.evaluate((element) => element.getBoundingClientRect().toJSON());

/** Opens a request's timeline when the request has ended. */
async function timeline(target, options) {
  const id = await send(target, options);
  await show(`request/${id}`);
  await has(".story", /took|failed/);
  return id;
}

test("requests appear in the list while it is shown, and the newest is first", async () => {
  await show("requests");
  const first = await send("/?run=ok,fail,ok&on_failure=stop");
  await row(first).getByLabel("1 skipped").waitFor();
  const second = await send("/?run=ok&status=404");
  await row(second).getByText("404").waitFor();
  const ids = await page.locator("tr[data-key]").evaluateAll((rows) => rows.map((row) => row.dataset.key));
  assert.ok(ids.indexOf(second) < ids.indexOf(first), "the newer request is not above the older one");
  for (const label of ["1 succeeded", "1 failed", "1 skipped"]) assert.equal(await row(first).getByLabel(label).count(), 1, label);
  await has(`tr[data-key="${first}"]`, "delivered");
  await shoot("requests");
});

test("rows keep their place while the pointer is on the list", async () => {
  const shown = await send("/?run=ok");
  await show("requests");
  await row(shown).hover();
  const held = await send("/?run=ok");
  await has(".held", /Show \d+ newer request/);
  assert.equal(await row(held).count(), 0, "a row was added under the pointer");
  await page.locator(".held").click();
  await row(held).waitFor();
});

test("a paused page does not change until it goes on", async () => {
  await send("/?run=ok");
  await show("requests");
  await page.locator("tr[data-key]").first().waitFor();
  await page.keyboard.press("p");
  await has("#pause", "Continue");
  // Another page that is not paused shows that the event was sent.
  const other = await page.context().newPage();
  await other.goto(`${host.dashboard}/#requests`);
  await other.locator("tr[data-key]").first().waitFor();
  const id = await send("/?run=ok");
  await other.locator(`tr[data-key="${id}"]`).waitFor();
  assert.equal(await row(id).count(), 0, "a row was added to a paused page");
  await page.keyboard.press("p");
  await row(id).waitFor();
});

test("the list filters by state, path and id", async () => {
  const good = await send("/?run=ok");
  const bad = await send("/?run=fail");
  await show("requests");
  await row(good).waitFor();
  await page.getByLabel("State").selectOption("failed");
  await row(bad).waitFor();
  await row(good).waitFor({ state: "detached" });
  assert.match(page.url(), /state=failed/);
  await page.getByText("Clear filter").click();
  await row(good).waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type(good);
  await page.keyboard.press("Enter");
  await row(bad).waitFor({ state: "detached" });
  await row(good).waitFor();
  await page.getByLabel("Path or id").fill("/no/such/path");
  await page.keyboard.press("Enter");
  await has(".empty", "No kept request matches");
});

test("the keys move through the list, open a request, and come back to its row", async () => {
  const ids = [await send("/?run=ok"), await send("/?run=ok,ok")];
  await show("requests");
  for (const id of ids) await row(id).waitFor();
  const focused = () => page.evaluate(() => document.activeElement.closest("tr")?.dataset.key);
  const [first, second] = await page.locator("tr[data-key]").evaluateAll((rows) => rows.map((row) => row.dataset.key));
  await page.keyboard.press("j");
  assert.equal(await focused(), first);
  await page.keyboard.press("ArrowDown");
  assert.equal(await focused(), second);
  await page.keyboard.press("k");
  assert.equal(await focused(), first);
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await has(".story", "The client had the whole response");
  assert.match(page.url(), new RegExp(second));
  await page.keyboard.press("Escape");
  await row(second).waitFor();
  await page.waitForFunction((id) => document.activeElement.closest("tr")?.dataset.key === id, second);
  await page.keyboard.press("?");
  await page.getByRole("dialog").getByText("next and previous row").waitFor();
  await page.keyboard.press("Escape");
  for (const [index, screen] of SCREENS.entries()) {
    await page.keyboard.press(String(index + 1));
    await page.locator(`main.${screen} h1`).waitFor();
  }
});

test("a timeline shows what came before and after the response, and why a task failed", async () => {
  await timeline("/?run=slow,fail,ok&on_failure=stop");
  const sent = await box(page.locator(".picture path.sent"));
  for (const name of ["Handler", "Response body"]) {
    const { right } = await box(bar(name).locator(".body"));
    assert.ok(right <= sent.right + 3, `${name} ends after "sent"`);
  }
  for (const name of ["slow: attempt 1, succeeded", "fail: attempt 1, failed"]) {
    const { left } = await box(bar(name).locator(".body"));
    assert.ok(left >= sent.left - 1, `${name} begins before "sent"`);
  }
  await has(".picture text", /^sent /);
  const fill = (name) => bar(name).locator(".body").evaluate((body) => getComputedStyle(body).fill);
  assert.notEqual(await fill("slow"), await fill("fail"));
  assert.match(await fill("fail"), /url/, "a failed attempt has no pattern");
  assert.match(await bar("ok: skipped").getAttribute("class"), /hollow/);
  await bar("fail").hover();
  await has("#tip", "cannot print: no paper");
  await bar("slow").focus();
  await has("#tip", /long$/m);
  const printed = page.locator("tbody").filter({ hasText: "slow" }).locator(".lines li");
  assert.deepEqual(await printed.locator("bdi").allTextContents(), ["slow begins", "slow ends"]);
  await shoot("timeline");
});

test("a timeline shows each attempt, the fresh instance after a trap, and a deadline", async () => {
  await timeline("/?run=ok,shaky,flaky&backoff=1&on_failure=continue");
  await bar("shaky: attempt 1, trapped").waitFor();
  await bar("shaky: attempt 2, succeeded").waitFor();
  assert.match(await bar("shaky: attempt 2").getAttribute("class"), /fresh/);
  assert.equal(await page.locator(".fresh-name").count(), 1, "the fresh instance is not marked once");
  for (const label of ["attempt 1, failed", "attempt 2, failed", "attempt 3, succeeded"]) await bar(`flaky: ${label}`).waitFor();
  await shoot("attempts");
  await timeline("/?run=sleep,ok&within=50&on_failure=stop");
  await bar("sleep: attempt 1, timed-out").waitFor();
  await page.locator(".picture path.deadline").first().waitFor({ state: "attached" });
  await bar("sleep").click();
  await page.getByRole("button", { name: "Show all" }).click();
  await bar("Handler").waitFor();
});

test("a running request grows, and ends while it is shown", async () => {
  const { url, arrived, open: leave, close } = await gate();
  const id = await send(`/durable?run=knock&ask=no&gate=${url}`);
  await arrived;
  await show(`request/${id}`);
  await has(".story", "Now the host runs");
  await bar("knock: attempt 1, running").waitFor();
  // The bar also grows between two answers of the host: this page gets none.
  await page.route("**/api/requests/*", (route) => route.abort());
  const grown = (before) => document.querySelector("[data-bar].open .body").getAttribute("width") !== before;
  const width = await page.locator("[data-bar].open .body").getAttribute("width");
  await page.waitForFunction(grown, width);
  await page.unroute("**/api/requests/*");
  await shoot("live");
  leave();
  await bar("knock: attempt 1, succeeded").waitFor();
  await has(".lines bdi", "opened");
  close();
  faults = faults.filter((text) => !text.includes("ERR_FAILED"));
});

test("tasks are counted by name and state, and a cell opens their requests", async () => {
  const id = await send("/?run=fail,ok&on_failure=stop");
  await show("tasks");
  const cells = page.locator("tbody tr").filter({ has: page.getByRole("link", { name: "fail", exact: true }) });
  await cells.getByLabel(/^\d+ failed/).waitFor();
  await page.locator("section").getByText("cannot print: no paper").first().waitFor();
  await shoot("tasks");
  await cells.getByLabel(/^\d+ failed/).click();
  await row(id).waitFor();
  assert.match(page.url(), /state=failed.*task=fail/);
});

test("dead tasks are counted before they are dropped or retried", async () => {
  await show("dead");
  await has(".empty", "No task is dead");
  for (let number = 0; number < 3; number++) await send("/durable?run=fail,ok&attempts=1");
  await has("h2", "3 dead batches");
  await has("td", "no paper");
  await shoot("dead");

  const dialog = page.getByRole("dialog");
  await page.locator("p.bar").getByText("Drop…").first().click();
  await dialog.getByText("3 batches with 6 tasks will be dropped.").waitFor();
  await shoot("drop");
  await dialog.getByText("Cancel").click();
  await has("h2", "3 dead batches");

  // One.
  await page.locator("td.box input").first().check();
  await page.getByText("1 selected:").getByText("Drop…").click();
  await dialog.getByText("1 batch with 2 tasks will be dropped.").waitFor();
  await dialog.getByText("Drop 2 tasks").click();
  await has("h2", "2 dead batches");

  // A group. It changes after it was counted.
  await page.locator("section").getByText("Drop…").first().click();
  await dialog.getByText("2 batches with 4 tasks will be dropped.").waitFor();
  await send("/durable?run=fail,ok&attempts=1");
  for (let { total } = { total: 2 }; total < 3; { total } = await api("dead"));
  await dialog.getByText("Drop 4 tasks").click();
  await dialog.getByText("The dead letters have changed, and nothing was done. Now 3 batches with 6 tasks will be dropped.").waitFor();
  await dialog.getByText("Cancel").click();

  // All. They fail again.
  await page.locator("p.bar").getByText("Retry…").first().click();
  await dialog.getByText("3 batches with 6 tasks will be retried.").waitFor();
  await dialog.getByText("Retry 6 tasks").click();
  await has("[role=status]", "3 batches made ready again.");
  for (let { total } = { total: 0 }; total < 3; { total } = await api("dead"));
  await page.locator("p.bar").getByText("Drop…").first().click();
  await dialog.getByText("3 batches with 6 tasks will be dropped.").waitFor();
  await dialog.getByText("Drop 6 tasks").click();
  await has(".empty", "No task is dead");
  faults = faults.filter((text) => !text.includes("409 (Conflict)"));
});

test("latency has a curve for each percentile, and marks a reload", async () => {
  await send("/?run=ok");
  await show("latency");
  await page.locator(".latency-chart .curve").nth(5).waitFor({ state: "attached" });
  await has(".values caption", /Newest, .*request/);
  assert.doesNotMatch(await page.locator(".values tbody").textContent(), /–/);
  const { left, top } = await box(page.locator(".latency-chart"));
  await page.mouse.move(left + 300, top + 100);
  await has(".values caption", /^\d\d:/);
  host.process?.kill("SIGHUP");
  await page.locator(".latency-chart .reload").first().waitFor({ state: "attached" });
  await shoot("latency");
});

test("a reload stays marked when the old version has ended", { skip }, async () => {
  host.process.kill("SIGHUP");
  for (let versions = []; versions.length !== 1; { versions } = await api("host"));
  await show("latency");
  await page.locator(".latency-chart .reload").first().waitFor({ state: "attached", timeout: 5000 });
});

test("a request and the batch of its durable tasks have a timeline each", async () => {
  const id = await send("/durable?run=ok");
  await show(`requests?id=${id}`);
  await row(id).getByLabel("1 stored").waitFor();
  await page.getByText("Batch of durable tasks").click();
  await has(".story", "A worker ran these durable tasks");
  await page.keyboard.press("Escape");
  await row(id).getByRole("link").click({ timeout: 5000 });
  await page.locator(".story").filter({ hasText: "The client had the whole response" }).waitFor({ timeout: 5000 });
});

test("workers show the leases that they hold, and the tasks that they run", async () => {
  const { url, arrived, open: leave, close } = await gate();
  await send(`/durable?run=knock,ok&gate=${url}`);
  await arrived;
  await show("workers");
  const leased = page.locator("section tr").filter({ hasText: "knock" });
  assert.deepEqual((await leased.locator("td").allTextContents()).slice(0, 3), ["knock", "1", "1"]);
  await shoot("workers");
  leave();
  await has(".empty", "No worker holds a lease now.");
  close();
});

test("limits show their use, and the versions", async () => {
  await show("limits");
  const limit = page.locator("tr").filter({ hasText: "max-requests" }).first();
  await limit.getByRole("meter").waitFor();
  assert.match(await limit.textContent(), /\d/);
  await has("p", /Epilogue .*process \d+/);
  await shoot("limits");
});

test("a hostile name is a text and nothing else", async () => {
  const id = await timeline("/name", { method: "POST", body: HOSTILE });
  await send("/task", { method: "POST", body: HOSTILE });
  for (const screen of [`request/${id}`, "tasks", "requests"]) {
    await show(screen);
    await page.locator(".clip").first().waitFor();
    if (screen !== "requests") await page.locator("main .clip").filter({ hasText: "<img src=x" }).first().waitFor();
    assert.equal(await page.locator("main img, main script").count(), 0);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(overflow <= 0, `${screen} is ${overflow} px too wide`);
    assert.doesNotMatch(await page.locator("main").textContent(), /\u202e/, "a mark of direction is not written out");
  }
  assert.doesNotMatch(await page.title(), /broken/);
  await show(`request/${id}`);
  await bar("<img src=x").hover();
  await has("#tip", "<script>");
  await shoot("hostile");
});

/** The texts that have too little contrast with what is behind them, in the page's own colors. */
function faint() {
  const parse = (color) => color.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((part) => (part / 255 <= 0.03928 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color[3] !== 0) return color;
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest("option, :disabled")) continue;
    const style = getComputedStyle(element);
    const [one, other] = [light(parse(element.closest("svg") ? style.fill : style.color)), light(behind(element))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) found.push(`${walker.currentNode.data}: ${ratio.toFixed(1)}`);
  }
  return found;
}

for (const colorScheme of ["light", "dark"]) {
  test(`all texts can be read in ${colorScheme} mode`, async () => {
    const id = await send("/?run=ok,shaky,fail,ok&on_failure=stop");
    await open({ colorScheme });
    for (const screen of [...SCREENS, `request/${id}`]) {
      await show(screen);
      await page.locator("main :is(table, .empty, .story)").first().waitFor();
      if (screen.includes("/")) await has(".story", "took");
      assert.deepEqual(await page.evaluate(faint), [], `${screen} has faint texts`);
      if (colorScheme === "dark") await shoot(`dark-${screen.split("/")[0]}`);
    }
    const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    assert.equal(Number(ground.match(/\d+/)[0]) < 128, colorScheme === "dark");
  });
}

test("each screen fits into a narrow window", async () => {
  const id = await send("/?run=ok,shaky,fail,ok&on_failure=stop");
  await open({ viewport: NARROW });
  for (const screen of [...SCREENS, `request/${id}`]) {
    await show(screen);
    await page.locator("main :is(table, .empty, .story)").first().waitFor();
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(overflow <= 0, `${screen} is ${overflow} px too wide`);
    await shoot(`narrow-${screen.split("/")[0]}`);
  }
});

test("a dashboard without a host shows the dead tasks of an engine, and is read-only", { skip }, async () => {
  await send("/durable?run=fail&attempts=1");
  const { dashboard, stop } = await startDashboard(host.engine);
  await page.goto(dashboard);
  await has("h2", "1 dead batch");
  await has(".notice", "--dashboard-actions");
  assert.equal(await page.getByText("Retry…").first().isDisabled(), true);
  assert.deepEqual(await page.locator("nav a:visible").allTextContents(), ["Dead letters", "Workers"]);
  await page.locator("section a").first().click();
  await page.getByText("Clear filter").waitFor();
  await page.keyboard.press("2");
  await has("p", /The task engine has .* and 1 dead batches/);
  await stop();
  // The page has noticed that nobody answers any more.
  faults = faults.filter((text) => !text.includes("ERR_CONNECTION_REFUSED"));
});

test("a stopping host shows the time that is left", { skip }, async () => {
  const { url, arrived, open: leave, close } = await gate();
  await send(`/durable?run=knock&ask=no&gate=${url}`);
  await arrived;
  await show("limits");
  host.process.kill("SIGTERM");
  await has(".notice h2", "The host is stopping");
  await has(".notice b", /^\d+ s left$/);
  await has("#state", /stopping, /);
  await shoot("stopping");
  leave();
  await host.ended;
  await page.locator("#connection").waitFor();
  faults = faults.filter((text) => !text.includes("ERR_CONNECTION_REFUSED") && !text.includes("ERR_INCOMPLETE_CHUNKED_ENCODING"));
  close();
});
