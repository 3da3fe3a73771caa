// The states of tasks and requests. Each state has one name, one sign and one color on all screens.

import { count, h, svg } from "./dom.js";

// The meaning of each state. A state's color is in the class `s-NAME` of the style sheet, and its sign is below.
export const STATES = {
	waiting: "has not begun",
	running: "runs now",
	succeeded: "returned without an error",
	failed: "returned an error",
	trapped: "panicked, or trapped otherwise. Its instance ended",
	"timed-out": "was stopped at its deadline",
	skipped: "did not run, because a task before it failed",
	discarded: "did not run, because the handler's result was not the one it runs after",
	cancelled: "did not run, because the guest cancelled it or the client left",
	abandoned: "did not end, because the host stopped or the time for all tasks had passed",
	stored: "is in the task engine. A worker runs it",
	dead: "failed for good. It waits for a retry or a drop",
	dropped: "was removed by an operator",
};

const RING = "M1 6a5 5 0 1 0 10 0a5 5 0 1 0-10 0";
const SIGNS = {
	waiting: "M1 6h.2M6 6h.2M11 6h.2",
	running: "M3 1.5 10.5 6 3 10.5Z",
	succeeded: "M1.5 6.5 4.5 9.5 10.5 2.5",
	failed: "M2 2 10 10M10 2 2 10",
	trapped: "M7 .8 2.5 7H6L5 11.2 9.5 5H6Z",
	"timed-out": `${RING}M6 3V6L8 8`,
	skipped: "M1.5 2 5.5 6 1.5 10M6.5 2 10.5 6 6.5 10",
	discarded: `${RING}M2.5 9.5 9.5 2.5`,
	cancelled: `${RING}M3.5 6H8.5`,
	abandoned: "M2 2H10V10H2Z",
	stored: "M6 .5V7.5M3 4.8 6 7.8 9 4.8M1 11H11",
	dead: "M6 .8 11.2 6 6 11.2 .8 6Z",
	dropped: "M6 .8 11.2 6 6 11.2 .8 6ZM3.5 6H8.5",
};
const sign = (state) => svg("svg.sign", { viewBox: "0 0 12 12", "aria-hidden": "true" }, svg("path", { d: SIGNS[state] ?? "" }));

// The outcomes of responses. Each outcome has a state, whose color and sign the outcome uses, and a meaning.
export const OUTCOMES = {
	delivered: ["succeeded", "the client has the whole response"],
	"client-gone": ["abandoned", "the client left before it had the whole response"],
	"response-failed": ["failed", "the response broke off"],
	"handler-failed": ["failed", "the handler failed"],
};

const PHASES = {
	handling: "the handler is at work",
	sending: "the response is being sent",
	draining: "the response was sent, and the tasks run",
};

/** Shows a state with its sign, such as "✓ succeeded". */
export const chip = (state, label = state, title = `${state}: the task ${STATES[state]}`, attributes = {}) =>
	h("span", { class: `chip s-${state}`, title, ...attributes }, sign(state), label);

export function phase(summary) {
	const meaning = PHASES[summary.phase];
	if (meaning) return chip("running", summary.phase, meaning);
	if (summary.batch) return chip("stored", "batch", "a worker ran these tasks");
	const [state, text] = OUTCOMES[summary.outcome] ?? ["failed"];
	return chip(state, summary.outcome, summary.error ?? text);
}

export const tally = (tasks) =>
	Object.keys(STATES).filter((state) => tasks[state]).map((state) => {
		const label = `${count(tasks[state])} ${state}`;
		return chip(state, count(tasks[state]), label, { "aria-label": label, role: "img" });
	});

/** Returns the title of a request: its method and path. A worker's batch has a fixed title. */
export const title = (summary) =>
	summary.batch ? "Batch of durable tasks" : `${summary.method} ${summary.path}`;

/** Makes a link to the timeline of a request, or to the timeline of a batch of its durable tasks. */
export const requestLink = (id, child, batch) =>
	h("a", { href: `#request/${encodeURIComponent(id)}${batch ? "?batch=true" : ""}`, "data-item": true }, child);

/** Makes the patterns of bars, so that a person can recognize a state without its color. */
export const patterns = () =>
	svg("defs", pattern("failed", 6, "M-1 1 1 -1M0 6 6 0M5 7 7 5"),
		pattern("trapped", 6, "M0 0 6 6M6 0 0 6"),
		pattern("timed-out", 5, "M2.5 0V5"),
		pattern("abandoned", 5, "M0 2.5H5"),
	);

const pattern = (state, size, d) =>
	svg("pattern", { id: `p-${state}`, width: size, height: size, patternUnits: "userSpaceOnUse", class: `s-${state}` },
		svg("rect", { width: size, height: size }),
		svg("path", { d }),
	);

export function fillLegend(legend, meanings) {
	for (const [state, meaning] of Object.entries(STATES)) {
		legend.append(chip(state));
		meanings.append(h("dt", chip(state)), h("dd", `The task ${meaning}.`));
	}
}
