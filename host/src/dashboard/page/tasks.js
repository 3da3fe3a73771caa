// Tasks by name and state, and their errors. A click on a cell opens the requests that the cell counts.

import { clip, count, duration, h, keyed, plural, setText, table } from "./dom.js";
import { get, live, polled } from "./live.js";
import { chip, requestLink, STATES } from "./states.js";

const PERIOD = 1000;
const DURABLE_ONLY = ["stored", "dead", "dropped"];
const NOT_RUN = ["skipped", "discarded", "cancelled"];

export function tasks(main, { signal }) {
	const states = Object.keys(STATES).filter((state) => !DURABLE_ONLY.includes(state) || live.host?.durable);
	const [body, errors] = [h("tbody"), h("tbody")];
	const times = "half of the tasks, and 99 of 100";
	const columns = [
		["Task", "what"],
		["Wait p50 · p99", "number time", `From the end of the response until the task began: ${times}`],
		["Run p50 · p99", "number time", `Running time: ${times}`],
		...states.map((state) => [chip(state), "number"]),
	];
	const filter = h("input", { type: "search", "data-filter": true, placeholder: "Task  ( / )", "aria-label": "Task", spellcheck: "false" });
	const found = h("span.muted", { "aria-live": "polite" });
	const empty = h("p.empty", { hidden: true }, "No task yet. Each task that a handler adds is counted here by its name and its state.");
	const matrix = h("div.scroll", { tabindex: 0, role: "region", "aria-label": "Tasks by name and state" }, table("list matrix", columns, body));
	const failed = h("section", { hidden: true },
		h("h2", "Errors, most frequent first"),
		table("list", [["Count", "number"], ["State", "state"], ["Task", "name"], ["Error"], ["Last request", "latest wide"]], errors),
	);
	main.append(h("h1", "Tasks by name and state"), h("p.filters", filter, found), matrix, empty, failed);

	let all = [];
	const [show, showErrors] = [keyed(body), keyed(errors)];
	const key = (task) => JSON.stringify([task.component, task.name]);
	function draw() {
		const wanted = filter.value.toLowerCase();
		const chosen = all.filter((task) => task.name.toLowerCase().includes(wanted));
		const failures = chosen.flatMap((task) => task.errors.filter(({ state }) => !NOT_RUN.includes(state)).map((error) => ({ ...error, task }))).sort((a, b) => b.count - a.count);
		show(chosen, key, (task) => row(task, states));
		showErrors(failures, ({ task, state, error }) => key(task) + state + error, errorRow);
		failed.hidden = failures.length === 0;
		empty.hidden = all.length > 0;
		matrix.hidden = all.length === 0;
		matrix.classList.toggle("one", new Set(all.map((task) => task.component)).size < 2);
		setText(found, wanted ? plural(chosen.length, "task name matches", "task names match") : plural(all.length, "task name"));
	}
	filter.addEventListener("input", draw);
	const load = async () => {
		all = (await get("tasks", {}, signal)).tasks;
		all.sort((a, b) => a.component.localeCompare(b.component) || a.name.localeCompare(b.name));
		draw();
	};
	polled(load, PERIOD, signal);
}

const opens = (task, state) => `#requests?${new URLSearchParams({ ...(state && { state }), task: task.name, component: task.component })}`;
const pair = (times) => (times?.p50 >= 0 ? `${duration(times.p50)} · ${duration(times.p99)}` : "–");

function row(task, states) {
	const cells = states.map((state) => [state, h("td.number")]);
	const [wait, run] = [h("td.number.time"), h("td.number.time")];
	const name = h("th.what", { scope: "row" }, h("a", { href: opens(task), "data-item": true }, clip(task.name)), " ", h("span.muted", clip(task.component)));
	const update = (task) => {
		const counts = { ...task.states, running: task.running, waiting: task.waiting };
		for (const [state, cell] of cells) {
			const text = counts[state] ? count(counts[state]) : "·";
			if (cell.textContent === text) continue;
			const link = counts[state] && h("a", { href: opens(task, state), class: `s-${state}`, "aria-label": `${text} ${state}` }, text);
			cell.replaceChildren(link || text);
		}
		setText(wait, pair(task.wait));
		setText(run, pair(task.duration));
	};
	return { element: h("tr", name, wait, run, cells.map(([, cell]) => cell)), update };
}

function errorRow(failure) {
	const [counted, latest] = [h("td.number"), h("td.latest.wide")];
	const element = h("tr", counted, h("td.state", chip(failure.state)), h("td.name", clip(failure.task.name)), h("td.what", clip(failure.error)), latest);
	const update = ({ count: times, last }) => {
		setText(counted, count(times));
		if (latest.textContent !== last) latest.replaceChildren(last ? requestLink(last, clip(last, { class: "mono" })) : "–");
	};
	return { element, update };
}
