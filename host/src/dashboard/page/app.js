// The frame of all screens: which one is shown, the keys, and the line at the top.

import { count, duration, hideTip, setText } from "./dom.js";
import { dead } from "./dead.js";
import { latency } from "./latency.js";
import { limits } from "./limits.js";
import { live } from "./live.js";
import { request } from "./request.js";
import { requests } from "./requests.js";
import { fillLegend } from "./states.js";
import { tasks } from "./tasks.js";

const SCREENS = { requests, request, tasks, dead, latency, limits };
const TITLES = { requests: "Requests", request: "Request", tasks: "Tasks", dead: "Dead letters", latency: "Latency", limits: "Limits" };

const by = (id) => document.getElementById(id);
const main = by("main");
let shown = new AbortController();
let opened = 0;

/** A screen is a function of the place that it fills, its part of the address, and a signal at which it ends. */
function show() {
  const [path, query] = location.hash.slice(1).split("?");
  const [name, id] = path.split("/");
  const screen = SCREENS[name] ? name : "requests";
  shown.abort();
  shown = new AbortController();
  hideTip();
  main.replaceChildren();
  main.className = screen;
  for (const link of document.querySelectorAll("nav a")) {
    const current = link.hash.slice(1) === (screen === "request" ? "requests" : screen);
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  title();
  SCREENS[screen](main, { id: id && decodeURIComponent(id), query: Object.fromEntries(new URLSearchParams(query)), signal: shown.signal });
  if (opened++) main.focus({ preventScroll: true });
}

function title() {
  const screen = TITLES[main.className] ?? "";
  document.title = `${screen} · ${live.host?.name || "Epilogue"}`;
}

function top(host) {
  setText(by("name"), host.name || "Epilogue");
  by("name").title = `Epilogue ${host.version}, process ${host.pid}, started ${new Date(host.started).toLocaleString()}`;
  const left = host.grace_left === null ? "" : `, ${duration(host.grace_left)} left`;
  setText(by("state"), host.state === "stopping" ? `stopping${left}` : host.state);
  by("state").className = `badge ${host.state}`;
  setText(by("count-requests"), count(host.requests));
  setText(by("count-draining"), count(host.draining));
  setText(by("count-running"), count(host.tasks_running));
  setText(by("count-waiting"), count(host.tasks_waiting));
}

function pause(paused) {
  live.pause(paused);
  const button = by("pause");
  button.setAttribute("aria-pressed", paused);
  setText(button, paused ? "Continue" : "Pause");
  document.body.classList.toggle("paused", paused);
}

/** Moves the focus to the next or the previous row, or to the first one. */
function step(by) {
  const items = [...main.querySelectorAll("[data-item]")].filter((item) => item.offsetParent !== null);
  const at = items.indexOf(document.activeElement);
  const next = at < 0 ? (by > 0 ? 0 : items.length - 1) : Math.min(Math.max(at + by, 0), items.length - 1);
  items[next]?.focus();
}

function back() {
  const row = document.activeElement;
  if (row?.matches("[data-item], [data-bar]")) row.blur();
  else if (main.className === "request" && opened > 1) history.back();
  else if (main.className === "request") location.hash = "#requests";
  else if (location.hash.includes("?")) location.hash = `#${main.className}`;
}

const KEYS = {
  j: () => step(1),
  ArrowDown: () => step(1),
  k: () => step(-1),
  ArrowUp: () => step(-1),
  "/": () => main.querySelector("[data-filter]")?.focus(),
  p: () => pause(!live.paused),
  "?": () => by("help").showModal(),
  Escape: back,
};

function press(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
  const field = event.target.closest("input:not([type=checkbox]), select");
  if (field) {
    if (event.key === "Escape") field.blur();
    return;
  }
  const links = document.querySelectorAll("nav a");
  const act = KEYS[event.key] ?? (links[event.key - 1] && (() => links[event.key - 1].click()));
  if (act) {
    event.preventDefault();
    act();
  } else if ("+0".includes(event.key)) {
    main.dispatchEvent(new CustomEvent("zoom", { detail: event.key }));
  }
}

fillLegend(by("legend"), by("meanings"));
by("pause").addEventListener("click", () => pause(!live.paused));
by("help-button").addEventListener("click", KEYS["?"]);
addEventListener("keydown", press);
addEventListener("hashchange", show);
addEventListener("scroll", hideTip, { passive: true });
// A click beside a row's link opens it too.
main.addEventListener("click", (event) => {
  if (event.target.closest("a, button, input, label") || getSelection().toString()) return;
  event.target.closest("tr[data-opens]")?.querySelector("a")?.click();
});
const forever = new AbortController().signal;
live.on("connection", forever, (connected) => {
  by("connection").hidden = connected;
  if (!connected) setText(by("state"), "no connection");
  if (!connected) by("state").className = "badge lost";
});
live.on("host", forever, (host) => {
  top(host);
  title();
});
show();
live.start();
