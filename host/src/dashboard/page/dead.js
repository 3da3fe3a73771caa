// Lists the durable tasks that failed for good, in groups by task and error, and one by one.

import { age, clip, count, h, keep, plural, setText, table, visible } from "./dom.js";
import { confirmed, VERBS } from "./confirm.js";
import { get, live, polled } from "./live.js";
import { requestLink } from "./states.js";

const PERIOD = 3000;
const MOST = 500;

export function dead(main, { query, signal }) {
	const { task, error } = query;
	const code = (text) => h("code", text);
	const place = h("div");
	const told = h("p.notice", { role: "status", hidden: true });
	const notice = h("p.notice", { hidden: true },
		["This page is read-only. To retry and drop from here, start the host with ", code("--dashboard-actions"), ". Or use ", code("epilogue tasks retry"), "."],
	);
	main.append(h("h1", "Dead letters"), h("p.muted", "Durable tasks that failed for good. They stay here until somebody retries or drops them."), notice, told, place);

	const chosen = new Set();
	let before = "";
	let last = null;

	const run = async (verb, which) => {
		const result = await confirmed(verb, which);
		if (!result) return;
		chosen.clear();
		told.hidden = false;
		setText(told, result);
		ask();
	};

	const load = async () => {
		try {
			last = await get("dead", { task, error, limit: MOST }, signal);
		} catch (refusal) {
			if (refusal.status !== 404) throw refusal;
			last = null;
			place.replaceChildren(h("p.empty", "This host has no task engine, so no task is durable. Start it with ", code("--engine URL"), "."));
		}
		draw();
	};

	function draw() {
		const actions = live.host?.actions === true;
		notice.hidden = actions || !last;
		// If nothing has changed, the page replaces nothing, so that the focus stays.
		const now = JSON.stringify([last, actions, Math.floor(Date.now() / 60_000)]);
		if (!last || now === before) return;
		before = now;
		const ids = new Set(last.batches.map((batch) => batch.id));
		for (const id of chosen) if (!ids.has(id)) chosen.delete(id);
		keep(place, contents(last, { task, error, chosen, actions, run }));
	}
	live.on("host", signal, draw);
	const ask = polled(load, PERIOD, signal);
}

function contents(answer, at) {
	const { task, error, chosen } = at;
	const { total } = answer;
	const filtered = task || error;
	if (total === 0 && !filtered) return [h("p.empty", "No task is dead. A durable task comes here when its last attempt has failed.")];
	const all = filtered ? { ...(task && { task }), ...(error && { error }) } : { all: true };
	const selected = h("span");
	const select = () => selected.replaceChildren(...(chosen.size > 0 ? [`${count(chosen.size)} selected: `, ...buttons(at, { ids: [...chosen] })] : []));
	select();
	return [
		h("p.bar", filtered && [h("span.given", "only ", clip([task, error].filter(Boolean).join(": "))), h("a.button", { href: "#dead" }, "Clear filter")],
			total > 0 && h("span", `All ${count(total)}${filtered ? " that match" : ""}: `, buttons(at, all)),
			selected,
		),
		!filtered && groups(answer.groups, at),
		h("h2", { "aria-live": "polite" }, plural(total, "dead batch", "dead batches")),
		total > 0 && batches(answer.batches, at, select),
		total > MOST && h("p.muted", `The first ${MOST} are shown. The buttons above act on all.`),
	];
}

const actionsHead = () => [h("span.hidden", "Actions"), "actions"];

function groups(all, at) {
	const row = ({ task, error, count: dead }) => {
		const link = h("a", { href: `#dead?${new URLSearchParams({ task, error })}`, "data-item": true }, clip(error));
		return h("tr", h("td.number", count(dead)), h("td.name", clip(task)), h("td.what", link), h("td.actions", buttons(at, { task, error })));
	};
	const columns = [["Dead", "number"], ["Task", "name"], ["Error"], actionsHead()];
	return h("section", h("h2", "By task and error"), table("list", columns, h("tbody", all.map(row))));
}

function batches(all, at, changed) {
	const box = (id, task) => {
		const change = () => {
			if (input.checked) at.chosen.add(id);
			else at.chosen.delete(id);
			changed();
		};
		const input = h("input", { type: "checkbox", "aria-label": `Select ${visible(task)}`, "data-item": true, onchange: change });
		input.checked = at.chosen.has(id);
		return input;
	};
	const row = ({ id, request, task, error, attempt, since, behind }) =>
		h("tr", h("td.box", box(id, task)),
			h("td.name", clip(task)),
			h("td.what", clip(error)),
			h("td.number.wide", count(attempt)),
			h("td.number.wide", count(behind)),
			h("td.number.age", { title: new Date(since).toLocaleString() }, age(since, live.host?.now ?? Date.now())),
			h("td.id.widest", requestLink(request, clip(request))),
			h("td.actions", buttons(at, { ids: [id] })),
		);
	const behind = ["Behind", "number wide", "Tasks of the same request that wait behind the dead one"];
	const columns = [[h("span.hidden", "Select"), "box"], ["Task", "name"], ["Error"], ["Attempts", "number wide"], behind, ["For", "number age"], ["Request", "id widest"], actionsHead()];
	return table("list", columns, h("tbody", all.map(row)));
}

const buttons = (at, which) =>
	Object.entries(VERBS).map(([verb, { name }]) =>
		h("button", { disabled: !at.actions, title: at.actions ? null : "Needs --dashboard-actions", onclick: () => at.run(verb, which) }, `${name}…`),
	);
