// The list of requests, newest first. While a person points at the list, the rows stay in place.

import { clip, clock, count, duration, framed, h, keyed, plural, setText, table } from "./dom.js";
import { get, live, polled } from "./live.js";
import { OUTCOMES, phase, requestLink, STATES, tally, title } from "./states.js";

const MOST_ROWS = 1000;
const FIRST_ROWS = 200;
const REST = 250; // ms between two changes, so that the list can be read
const FAST = 50; // new rows in one change: nobody reads so many, so fewer old ones stay
// With a filter, the host chooses the requests, because the host knows more requests than the events contain.
const FILTERED_PERIOD = 1000;

// The request that was opened last, so that the list returns to it.
let last = null;

export function requests(main, { query, signal }) {
	const body = h("tbody");
	const list = table("list", [
			["Time", "time wide"],
			["Request"],
			["Status", "status"],
			["Outcome", "phase wide"],
			["Tasks", "tally"],
			["To sent", "number", "From the request's arrival until the response was sent"],
			["To the end", "number wide", "From the request's arrival until the end of its tasks and its teardown"],
			["Id", "id widest"],
		],
		body,
	);
	const told = h("span.muted", "Newest first. The list waits while you point at it.");
	const held = h("button.held", { hidden: true, onclick: () => release() });
	const area = h("div.area", list);
	const filtered = Object.keys(query).length > 0;
	const nothing = filtered ? "No kept request matches this filter." : "No request yet. Requests appear here as the host receives them.";
	const empty = h("p.empty", { hidden: true, "aria-live": "polite" }, nothing);
	main.append(h("h1", "Requests"), filters(query), h("p.bar", told, held), area, empty);

	const rows = new Map();
	const newer = new Set(); // keys of requests that are not shown yet
	let changed = [];
	let pointed = false;

	const resting = () => live.paused || pointed || area.contains(document.activeElement) || scrollY > 200;
	const show = () => {
		held.hidden = newer.size === 0;
		setText(held, `Show ${plural(newer.size, "newer request")}`);
		empty.hidden = rows.size > 0;
		list.hidden = rows.size === 0;
	};

	const draw = framed(() => {
		const fresh = [];
		const rests = resting();
		for (const item of changed) {
			const key = keyOf(item);
			if (rows.has(key)) rows.get(key).update(item);
			else if (rests) newer.add(key);
			else {
				rows.set(key, row(item));
				fresh.push(item);
			}
		}
		changed = [];
		fresh.sort((a, b) => (a.time < b.time ? 1 : -1));
		body.prepend(...fresh.map((item) => rows.get(keyOf(item)).element));
		while (rows.size > (fresh.length > FAST ? FIRST_ROWS : MOST_ROWS)) {
			rows.delete(body.lastChild.dataset.key);
			body.lastChild.remove();
		}
		show();
	}, signal, REST);

	const take = (items) => {
		changed.push(...items);
		draw();
	};

	const put = keyed(body, rows);

	async function load(forced) {
		const answer = await get("requests", { ...query, limit: FIRST_ROWS }, signal);
		if (filtered) setText(told, `${plural(answer.requests.length, "request")} of ${count(answer.kept)} that the host keeps.`);
		if (rows.size && !forced && resting()) return take(answer.requests);
		newer.clear();
		put(answer.requests, keyOf, row);
		show();
		rows.get(last)?.element.querySelector("a").focus();
		last = null;
	}

	function release() {
		pointed = false;
		document.activeElement?.blur();
		scrollTo(0, 0);
		load(true);
	}
	const go = () => newer.size > 0 && !resting() && load();

	area.addEventListener("pointerenter", () => (pointed = true));
	area.addEventListener("pointerleave", () => {
		pointed = false;
		go();
	});
	area.addEventListener("focusout", () => setTimeout(go));
	addEventListener("scroll", go, { signal, passive: true });
	polled(load, filtered ? FILTERED_PERIOD : 0, signal);
	if (filtered) return;
	live.on("requests", signal, (frame) => live.paused || take(frame.requests));
}

/**
 * Returns a row's key. A request and the batches of its durable tasks have the same id, so the key of a batch has a
 * time.
 */
const keyOf = ({ id, batch, time }) => (batch ? `${id} ${time}` : id);

function row(item) {
	const link = requestLink(item.id, clip(title(item)), item.batch);
	link.addEventListener("click", () => (last = keyOf(item)));
	const [status, outcome, tasks, sent, ended] = [h("td.status"), h("td.phase.wide"), h("td.tally"), h("td.number"), h("td.number.wide")];
	const element = h("tr", { "data-key": keyOf(item) },
		h("td.time.wide", clock(item.time, true)),
		h("td.what", link),
		[status, outcome, tasks, sent, ended],
		h("td.id.widest", clip(item.id)),
	);
	let before = "";
	const update = (item) => {
		const now = JSON.stringify([item.phase, item.status, item.outcome, item.sent, item.ended, item.tasks]);
		if (now === before) return;
		before = now;
		setText(status, String(item.status ?? "–"));
		status.classList.toggle("bad", item.status >= 500);
		outcome.replaceChildren(phase(item));
		tasks.replaceChildren(...tally(item.tasks));
		setText(sent, duration(item.sent));
		setText(ended, item.ended === null ? "…" : duration(item.ended));
	};
	update(item);
	return { element, update };
}

/**
 * Makes the filter form. The form's values are the query of the address, so that a person can share a filter as a link.
 */
function filters(query) {
	const text = h("input", { type: "search", "data-filter": true, placeholder: "Path or id  ( / )", "aria-label": "Path or id", value: query.path ?? query.id ?? "", spellcheck: "false" });
	const option = (value) => h("option", { value, selected: query.state === value }, value || "Any state");
	const state = h("select", { "aria-label": "State" },
		option(""),
		h("optgroup", { label: "With a task that is" }, Object.keys(STATES).map(option)),
		h("optgroup", { label: "Outcome of the request" }, Object.keys(OUTCOMES).map(option)),
	);
	const apply = (event) => {
		event.preventDefault();
		const value = text.value.trim();
		const id = /^[0-9a-f][0-9a-f-]{3,}$/i.test(value);
		const chosen = { state: state.value, [id ? "id" : "path"]: value, component: query.component, task: query.task };
		const search = new URLSearchParams(Object.entries(chosen).filter(([, value]) => value)).toString();
		location.hash = search ? `#requests?${search}` : "#requests";
	};
	return h("form.filters", { role: "search", onsubmit: apply, onchange: apply },
		[text, state],
		query.task && h("span.given", "with the task ", clip(query.task)),
		Object.keys(query).length > 0 && h("a.button", { href: "#requests" }, "Clear filter"),
	);
}
