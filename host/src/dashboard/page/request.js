// Shows one request: the part that its client waited for, the part after the response, and the guest's output.

import { clip, clock, count, duration, framed, h, plural, setText, table, visible } from "./dom.js";
import { get, live, polled } from "./live.js";
import { chip, phase, title } from "./states.js";
import { ownerOf, stateOf, waitsFrom } from "./timeline.js";
import { waterfall } from "./waterfall.js";

const LIVE_PERIOD = 1000;

export function request(main, { id, query, signal }) {
	const heading = h("h1.clip", "Request");
	const facts = h("p.facts");
	const story = h("p.story", { "aria-live": "polite" });
	const chart = waterfall(signal);
	const details = h("div");
	main.append(h("a.back", { href: "#requests" }, "← Requests"), heading, facts, story, chart.element, details);

	let ended = false;
	let shown = "";
	const load = async () => {
		if (ended) return;
		let timeline;
		try {
			timeline = await get(`requests/${encodeURIComponent(id)}`, query, signal);
		} catch (error) {
			if (error.status !== 404) throw error;
			ended = true;
			chart.element.hidden = !shown;
			setText(story, "The host no longer keeps this request. It keeps the last requests of each thread, and failures longer.");
			return;
		}
		ended = timeline.phase === "ended";
		chart.update(timeline);
		const now = JSON.stringify({ ...timeline, now: 0 });
		if (now === shown) return;
		shown = now;
		heading.title = visible(title(timeline));
		setText(heading, heading.title);
		facts.replaceChildren(...describe(timeline));
		setText(story, tell(timeline));
		const focused = document.activeElement?.closest("tbody[id]")?.id;
		details.replaceChildren(...detail(timeline));
		if (focused) document.getElementById(focused)?.querySelector("[data-item]").focus({ preventScroll: true });
	};
	const ask = polled(load, LIVE_PERIOD, signal);
	live.on("requests", signal, (frame) => live.paused || ended || (frame.requests.some((item) => item.id === id) && ask()));
	// The chart of a running request grows between the host's answers.
	const grow = framed(() => {
		if (ended) return;
		if (!live.paused) chart.draw();
		grow();
	}, signal);
	grow();
}

function describe(timeline) {
	const fact = (name, value) => value && h("span.fact", h("span.muted", name, " "), value);
	return [
		!timeline.batch && fact("status", h("b", timeline.status ?? "–")),
		phase(timeline),
		fact("arrived", clock(timeline.time, true)),
		fact("component", clip(timeline.component)),
		fact("client", timeline.client && clip(timeline.client)),
		fact("body", timeline.bytes >= 0 && !timeline.batch && plural(timeline.bytes, "byte")),
		fact("request", clip(timeline.id, { class: "mono" })),
		fact("trace", timeline.trace_id && clip(timeline.trace_id, { class: "mono" })),
	].filter(Boolean);
}

function tell(timeline) {
	const { batch, error, outcome, sent, ended, tasks } = timeline;
	if (batch) {
		const ran = ended === null ? "A worker runs these durable tasks." : `A worker ran these durable tasks in ${duration(ended)}.`;
		return `${ran} The client got its response before.`;
	}
	if (timeline.phase === "handling") return "The client waits for the response headers.";
	if (timeline.phase === "sending") return "The client has the response headers, and waits for the rest of the response.";
	const why = error ? `: ${visible(error)}` : ".";
	if (outcome === "handler-failed") return `The handler failed${why}`;
	if (outcome === "client-gone") return `The client left before it had the whole response${why}`;
	if (outcome === "response-failed") return `The response broke off${why}`;
	const rest = tasks.length > 0 ? "its tasks and its teardown" : "its teardown";
	const then = ended === null ? `Now the host runs ${rest}.` : `Then ${rest} took ${duration(ended - sent)}.`;
	return `The client had the whole response after ${duration(sent)}. ${then}`;
}

/**
 * Shows the output of the handler, the table of the tasks with the output of each task, and the output of the teardown.
 */
function detail(timeline) {
	const of = (owner) => timeline.lines.filter((line) => ownerOf(line, timeline) === owner);
	const part = (name, printed) => printed.length > 0 && h("section", h("h2", name), output(printed));
	const columns = [["Task"], ["State", "state"], ["Waited", "number", "After the response was sent"], ["Ran", "number"], ["Attempts", "number wide"]];
	return [
		part("Printed by the handler", of("handler")),
		timeline.tasks.length > 0
			? table("list tasks-of-one", columns, timeline.tasks.map((task) => taskRows(task, timeline, of(task.id))))
			: h("p.empty", "This request has no tasks."),
		part("Printed by the teardown", of("teardown")),
	].filter(Boolean);
}

function taskRows(task, timeline, printed) {
	const first = task.attempts[0];
	const ran = task.attempts.reduce((sum, attempt) => sum + (attempt.ended ?? timeline.now) - attempt.began, 0);
	const errors = task.attempts.filter((attempt) => attempt.error);
	const end = task.end?.error && !errors.some((attempt) => attempt.error === task.end.error) && task.end;
	const error = ({ state, error }, ...before) => h("p", { class: `error s-${state}` }, before, h("bdi", visible(error)));
	return h("tbody", { id: `task-${task.id}` },
		h("tr", h("th.what", { scope: "row", tabindex: -1, "data-item": true }, h("span.muted.mono", `${task.id} `), clip(task.name)),
			h("td.state", chip(stateOf(task))),
			h("td.number", first ? duration(Math.max(0, first.began - waitsFrom(task, timeline))) : "–"),
			h("td.number", first ? duration(ran) : "–"),
			h("td.number.wide", count(task.attempts.length)),
		),
		(errors.length > 0 || end || printed.length > 0) &&
			h("tr.output", h("td", { colspan: 5 },
					errors.map((attempt) => error(attempt, h("span.muted", `attempt ${attempt.number}, ${attempt.state}: `))),
					end && error(end),
					printed.length > 0 && output(printed),
				),
			),
	);
}

const output = (printed) =>
	h("ol.lines", { "aria-label": plural(printed.length, "line") },
		printed.map((line) =>
			h("li", { class: line.stream }, h("span.at", duration(line.at)), h("span.stream", line.stream === "stderr" ? "err" : "out"), h("bdi", visible(line.text))),
		),
	);
