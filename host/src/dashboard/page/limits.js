// Shows the host's limits and their use, its versions, its durable tasks, and the progress of a shutdown.

import { age, clock, count, h, keyed, plural, setText, table } from "./dom.js";
import { get, live, polled } from "./live.js";

const NEAR = 0.8; // of a limit

export function limits(main, { signal }) {
	const [left, work, about] = [h("b"), h("span"), h("p")];
	const stopping = h("section.notice.bad", { hidden: true },
		h("h2", "The host is stopping"),
		h("p", left, " ", work),
		h("p.muted", "It accepts no new connections. Running requests and their tasks go on. When the time is over, the host abandons the rest."),
	);
	const [rows, versions, durable, refused] = [h("tbody"), h("tbody"), h("p"), h("p")];
	const columns = [["Limit", "limit"], ["Use", "meter"], ["In use", "number"], ["Limit", "number"]];
	main.append(
		h("h1", "Limits and stopping"),
		stopping,
		about,
		table("list limits", columns, rows),
		refused,
		h("h2", "Versions"),
		h("p.muted", "After a reload, older versions go on until their requests have ended."),
		table("list short", [["Loaded"], ["Age", "number age"]], versions),
		h("h2", "Durable tasks"),
		durable,
	);

	const [showLimits, showVersions] = [keyed(rows), keyed(versions)];
	let host = null;
	let received = 0;

	function countDown() {
		stopping.hidden = host?.state !== "stopping";
		if (stopping.hidden) return;
		const rest = host.grace_left === null ? null : Math.max(0, host.grace_left - (performance.now() - received) / 1000);
		setText(left, rest === null ? "Without a limit of time" : `${Math.ceil(rest)} s left`);
		setText(work, `for ${count(host.requests)} requests at work, ${count(host.draining)} draining, ${count(host.tasks_running)} running and ${count(host.tasks_waiting)} waiting tasks.`);
	}

	const take = (next) => {
		host = next;
		received = performance.now();
		showLimits(host.limits, (limit) => limit.name, limitRow);
		showVersions([...host.versions].sort((a, b) => (a.loaded < b.loaded ? 1 : -1)), (version) => version.loaded, versionRow);
		const { ready, delayed, leased, dead } = host.backlog ?? {};
		const works = `This host runs ${plural(host.batches, "batch", "batches")} now.`;
		const waits = `The task engine has ${count(ready)} ready, ${count(delayed)} delayed, ${count(leased)} leased and ${count(dead)} dead batches.`;
		setText(durable, host.durable ? `${works} ${waits}` : "This host has no task engine.");
		setText(about, `Epilogue ${host.version}, process ${host.pid}, running for ${age(host.started, host.now)}.`);
		const refusals = Object.entries(host.refused).map(([limit, times]) => `${count(times)} because of ${limit}`);
		setText(refused, refusals.length > 0 ? `Refused requests: ${refusals.join(", ")}.` : "The host has refused no request.");
		countDown();
	};
	const timer = setInterval(countDown, 200);
	signal.addEventListener("abort", () => clearInterval(timer));
	live.on("host", signal, (next) => live.paused || take(next));
	polled(async () => take(await get("host", {}, signal)), 0, signal);
}

function limitRow({ name }) {
	const fill = h("span.fill");
	const gauge = h("span.gauge", { role: "meter", "aria-label": name, "aria-valuemin": 0 }, fill);
	const [use, most] = [h("td.number"), h("td.number")];
	const update = ({ use: used, limit }) => {
		const share = limit > 0 ? used / limit : 0;
		fill.style.width = `${Math.min(100, share * 100)}%`;
		gauge.classList.toggle("near", share >= NEAR);
		gauge.setAttribute("aria-valuemax", limit ?? 0);
		gauge.setAttribute("aria-valuenow", used ?? 0);
		setText(use, amount(name, used));
		setText(most, limit === null ? "none" : amount(name, limit));
	};
	return { element: h("tr", h("th.limit", { scope: "row" }, name), h("td.meter", gauge), use, most), update };
}

const BYTES = /memory|disk|size/;
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** Formats a number of a limit. Limits of memory and of files count bytes. */
function amount(name, value) {
	if (!value || !BYTES.test(name)) return count(value);
	const power = Math.floor(Math.log2(value) / 10);
	return `${Number((value / 1024 ** power).toPrecision(3))} ${UNITS[power]}`;
}

function versionRow({ loaded }) {
	const old = h("td.number.age");
	const update = () => setText(old, age(loaded, live.host?.now ?? Date.now()));
	return { element: h("tr", h("td", `${new Date(loaded).toLocaleDateString()} ${clock(loaded)}`), old), update };
}
