// The frame of all screens: chooses the screen, handles the keys, and shows the line at the top.

import { count, hideTip, setText } from "./dom.js";
import { dead } from "./dead.js";
import { latency } from "./latency.js";
import { limits } from "./limits.js";
import { follow, get, live } from "./live.js";
import { request } from "./request.js";
import { requests } from "./requests.js";
import { fillLegend } from "./states.js";
import { tasks } from "./tasks.js";
import { workers } from "./workers.js";

const SCREENS = { requests, request, tasks, dead, workers, latency, limits };

const by = (id) => document.getElementById(id);
const main = by("main");
let shown = new AbortController();
let opened = 0;

/**
 * Shows the screen that the address names. A screen is a function: its arguments are the element that the screen fills,
 * the screen's part of the address, and a signal that ends the screen.
 */
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
		link.ariaCurrent = current ? "page" : null;
		if (current) link.scrollIntoView({ block: "nearest" });
	}
	SCREENS[screen](main, { id: id && decodeURIComponent(id), query: Object.fromEntries(new URLSearchParams(query)), signal: shown.signal });
	if (opened++) main.focus({ preventScroll: true });
}

function top(host) {
	document.title = `${host.name || "Epilogue"} · dashboard`;
	setText(by("name"), host.name || "Epilogue");
	const left = host.grace_left === null ? "" : `, ${Math.ceil(host.grace_left)} s left`;
	setText(by("state"), host.state === "stopping" ? `stopping${left}` : host.state);
	by("state").className = `badge ${host.state}`;
	for (const part of ["requests", "draining", "tasks_running", "tasks_waiting"]) setText(by(`n-${part}`), count(host[part]));
}

function pause(paused) {
	live.pause(paused);
	by("pause").ariaPressed = paused;
	setText(by("pause"), paused ? "Continue" : "Pause");
}

function step(by) {
	const items = [...main.querySelectorAll("[data-item]")].filter((item) => item.offsetParent !== null);
	const at = items.indexOf(document.activeElement);
	const next = at < 0 ? (by > 0 ? 0 : items.length - 1) : Math.min(Math.max(at + by, 0), items.length - 1);
	items[next]?.focus();
}

function back() {
	const row = document.activeElement;
	if (row?.matches("[data-item], [data-bar]")) row.blur();
	else if (opened > 1 && main.className === "request") history.back();
	else location.hash = main.className === "request" ? "requests" : main.className;
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
	const links = [...document.querySelectorAll("nav a")].filter((link) => link.offsetParent);
	const act = KEYS[event.key] ?? (links[event.key - 1] && (() => links[event.key - 1].click()));
	if (act) {
		event.preventDefault();
		act();
	}
}

fillLegend(by("legend"), by("meanings"));
by("pause").addEventListener("click", () => pause(!live.paused));
by("help-button").addEventListener("click", KEYS["?"]);
addEventListener("keydown", press);
addEventListener("hashchange", show);
addEventListener("scroll", hideTip, { passive: true });
const forever = new AbortController().signal;
live.on("connection", forever, (connected) => {
	by("connection").hidden = connected;
});
live.on("host", forever, top);
live.host = await get("host").catch(() => null);
if (live.host) top(live.host);
// The dashboard of a task engine without a host has only one screen.
if (live.host?.state === "no host") {
	document.body.className = "no-host";
	if (location.hash !== "#workers") location.hash = "dead";
}
show();
follow();
