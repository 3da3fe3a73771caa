// The states of tasks and requests: one name, one sign and one color each, on all screens.

import { count, h, icon, svg } from "./dom.js";

// Name, sign, and meaning. The color of a state is in the class `s-NAME` of the style sheet.
export const STATES = {
  waiting: ["waiting", "has not begun"],
  running: ["running", "runs now"],
  succeeded: ["succeeded", "returned without an error"],
  failed: ["failed", "returned an error"],
  trapped: ["trapped", "panicked, or trapped otherwise. Its instance ended"],
  "timed-out": ["timed-out", "was stopped at its deadline"],
  skipped: ["skipped", "did not run, because a task before it failed"],
  discarded: ["discarded", "did not run, because the handler's result was not the one it runs after"],
  cancelled: ["cancelled", "did not run, because the guest cancelled it or the client left"],
  abandoned: ["abandoned", "did not end, because the host stopped or the time for all tasks had passed"],
  stored: ["stored", "is in the task engine. A worker runs it"],
  dead: ["dead", "failed for good. It waits for a retry or a drop"],
  dropped: ["dropped", "was removed by an operator"],
};

export const OUTCOMES = {
  delivered: ["succeeded", "the client has the whole response"],
  "client-gone": ["gone", "the client left before it had the whole response"],
  "response-failed": ["failed", "the response broke off"],
  "handler-failed": ["failed", "the handler failed"],
};

const PHASES = {
  handling: "the handler is at work",
  sending: "the response is being sent",
  draining: "the response was sent, and the tasks run",
};

/** A state with its sign, such as "✓ succeeded". */
export function chip(state, label = state) {
  const [sign, meaning] = STATES[state] ?? ["waiting", ""];
  return h("span", { class: `chip s-${state}`, title: meaning && `${state}: ${meaning}` }, icon(sign), label);
}

/** The phase of a running request, or the outcome of one that has ended. */
export function phase(summary) {
  const meaning = PHASES[summary.phase];
  if (meaning) return h("span.chip.s-running", { title: meaning }, icon("running"), summary.phase);
  if (summary.batch) return h("span.chip.s-stored", { title: "a worker ran these tasks" }, icon("stored"), "batch");
  const [sign, text] = OUTCOMES[summary.outcome] ?? ["waiting", ""];
  return h("span", { class: `chip o-${summary.outcome}`, title: summary.error ?? text }, icon(sign), summary.outcome);
}

/** The tasks of a request, counted by state. */
export function tally(tasks) {
  const states = Object.keys(STATES).filter((state) => tasks[state]);
  return states.map((state) => {
    const label = `${count(tasks[state])} ${state}`;
    return h("span", { class: `chip s-${state}`, title: label, "aria-label": label, role: "img" }, icon(STATES[state][0]), count(tasks[state]));
  });
}

/** What a request is: its method and path, or the batch of a worker. */
export const title = (summary) =>
  summary.batch ? "Batch of durable tasks" : `${summary.method} ${summary.path}`;

export const requestLink = (id, child) => h("a", { href: `#request/${encodeURIComponent(id)}`, "data-item": true }, child);

/** Patterns that fill bars, so that no state is told by its color alone. */
export const patterns = () =>
  svg("defs", pattern("failed", 6, "M-1 1 1 -1M0 6 6 0M5 7 7 5"),
    pattern("trapped", 6, "M0 0 6 6M6 0 0 6"),
    pattern("timed-out", 5, "M2.5 0V5"),
    pattern("abandoned", 5, "M0 2.5H5"),
  );

const pattern = (state, size, d) =>
  svg(
    "pattern",
    { id: `p-${state}`, width: size, height: size, patternUnits: "userSpaceOnUse", class: `s-${state}` },
    svg("rect", { width: size, height: size }),
    svg("path", { d }),
  );

export function fillLegend(legend, meanings) {
  legend.append(...Object.keys(STATES).map((state) => chip(state)));
  for (const [state, [, meaning]] of Object.entries(STATES)) {
    meanings.append(h("dt", chip(state)), h("dd", `The task ${meaning}.`));
  }
}
