// The list of requests, newest first. It keeps its rows in place while somebody points at it.

import { clip, clock, count, duration, framed, h, plural, setText, table } from "./dom.js";
import { get, live, polled } from "./live.js";
import { OUTCOMES, phase, requestLink, STATES, tally, title } from "./states.js";

const MOST_ROWS = 1000;
const FIRST_ROWS = 200;
// With a filter, the host chooses the requests: it knows more of them than the events tell.
const FILTERED_PERIOD = 1000;
const COUNTS_PERIOD = 2000;

// The request that was opened last, so that the list returns to it.
let last = null;

export function requests(main, { query, signal }) {
  const body = h("tbody");
  const list = table(
    "list",
    [
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
  const kept = h("span.muted");
  const newer = h("button.held", { hidden: true, onclick: () => release() });
  const empty = h("p.empty", { hidden: true, "aria-live": "polite" });
  const area = h("div.area", list);
  const filtered = Object.keys(query).length > 0;
  main.append(h("h1", "Requests"), filters(query, signal), h("p.bar", kept, newer), area, empty);

  const rows = new Map(); // by id
  const changed = new Map();
  let held = new Map(); // newer requests that are not shown yet
  let heldOff = 0;
  let pointed = false;

  const resting = () => live.paused || pointed || area.contains(document.activeElement) || scrollY > 200;

  function put(summaries) {
    const fresh = summaries.sort((a, b) => (a.time < b.time ? 1 : -1)).map((item) => row(item));
    for (const made of fresh) rows.set(made.id, made);
    body.prepend(...fresh.map((made) => made.element));
    while (rows.size > MOST_ROWS) {
      rows.delete(body.lastChild.dataset.id);
      body.lastChild.remove();
    }
  }

  const draw = framed(() => {
    for (const [id, item] of changed) rows.get(id)?.update(item);
    changed.clear();
    if (held.size && !resting()) {
      put([...held.values()]);
      held = new Map();
      heldOff = 0;
    }
    newer.hidden = held.size === 0;
    setText(newer, `Show ${plural(held.size + heldOff, "newer request")}`);
    empty.hidden = rows.size > 0;
    list.hidden = rows.size === 0;
  }, signal);

  function release() {
    pointed = false;
    document.activeElement?.blur();
    scrollTo(0, 0);
    if (live.paused || filtered) load(true);
    else draw();
  }

  function take(items) {
    for (const item of items) (rows.has(item.id) ? changed : held).set(item.id, item);
    // Only the newest can be shown later.
    for (const id of held.keys()) {
      if (held.size <= MOST_ROWS) break;
      held.delete(id);
      heldOff++;
    }
    draw();
  }

  const tell = (answer) => setText(kept, `The host keeps ${plural(answer.kept, "request")} of ${count(answer.seen)} that it has seen.`);

  async function load(forced) {
    const answer = await get("requests", { ...query, limit: FIRST_ROWS }, signal);
    tell(answer);
    setText(empty, filtered ? "No kept request matches this filter." : "No request yet. Requests appear here as the host receives them.");
    if (resting() && rows.size && !forced) return take(answer.requests);
    held = new Map();
    heldOff = 0;
    const before = new Map(rows);
    rows.clear();
    for (const item of answer.requests) {
      const made = before.get(item.id) ?? row(item);
      made.update(item);
      rows.set(item.id, made);
    }
    // Rows that are in their place already are left alone, so that a focus and a selection stay.
    const elements = [...rows.values()].map((made) => made.element);
    if (elements.length !== body.children.length || elements.some((element, at) => element !== body.children[at])) {
      body.replaceChildren(...elements);
    }
    draw();
    list.hidden = rows.size === 0;
    rows.get(last)?.element.querySelector("a").focus();
    last = null;
  }

  area.addEventListener("pointerenter", () => (pointed = true));
  area.addEventListener("pointerleave", () => {
    pointed = false;
    draw();
  });
  area.addEventListener("focusout", draw);
  addEventListener("scroll", draw, { signal, passive: true });
  polled(load, filtered ? FILTERED_PERIOD : 0, signal);
  if (filtered) return;
  live.on("requests", signal, (frame) => live.paused || take(frame.requests));
  polled(async () => tell(await get("requests", { limit: 1 }, signal)), COUNTS_PERIOD, signal);
}

function row(item) {
  const link = requestLink(item.id, clip(title(item)));
  link.addEventListener("click", () => (last = item.id));
  const [status, outcome, tasks, sent, ended] = [h("td.status"), h("td.phase.wide"), h("td.tally"), h("td.number"), h("td.number.wide")];
  const element = h(
    "tr",
    { "data-id": item.id, "data-opens": true },
    h("td.time.wide", clock(item.time, true)),
    h("td.what", link),
    [status, outcome, tasks, sent, ended],
    h("td.id.widest", clip(item.id)),
  );
  let before = "";
  const update = (item) => {
    // Most events repeat what the row already shows.
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
  return { id: item.id, element, update };
}

/** The form that filters. Its values are the query of the address, so that a filter can be sent to somebody. */
function filters(query, signal) {
  const text = h("input", { type: "search", "data-filter": true, placeholder: "Path or id  ( / )", "aria-label": "Path or id", value: query.path ?? query.id ?? "", spellcheck: "false" });
  const option = (value) => h("option", { value, selected: query.state === value }, value || "Any state");
  const state = h(
    "select",
    { "aria-label": "State" },
    option(""),
    h("optgroup", { label: "With a task that is" }, Object.keys(STATES).map(option)),
    h("optgroup", { label: "Outcome of the request" }, Object.keys(OUTCOMES).map(option)),
  );
  const component = h("select", { "aria-label": "Component", hidden: true });
  const offer = (host) => {
    const names = host?.components ?? [];
    if (component.length === names.length + 1) return;
    component.replaceChildren(...["", ...names].map((value) => h("option", { value, selected: value === query.component }, value || "Any component")));
    component.hidden = names.length < 2;
  };
  offer(live.host);
  live.on("host", signal, offer);
  const apply = (event) => {
    event.preventDefault();
    const value = text.value.trim();
    const id = /^[0-9a-f][0-9a-f-]{3,}$/i.test(value);
    const chosen = { state: state.value, [id ? "id" : "path"]: value, component: component.value || (component.hidden && query.component), task: query.task };
    const search = new URLSearchParams(Object.entries(chosen).filter(([, value]) => value)).toString();
    location.hash = search ? `#requests?${search}` : "#requests";
  };
  return h(
    "form.filters",
    { role: "search", onsubmit: apply, onchange: apply },
    [text, state, component],
    query.task && h("span.given", "with the task ", clip(query.task)),
    Object.keys(query).length > 0 && h("a.button", { href: "#requests" }, "Clear filter"),
  );
}
