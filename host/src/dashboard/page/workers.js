// The workers that hold leases for durable tasks, and the batches that they run.

import { age, clip, count, duration, h, keep, plural, table } from "./dom.js";
import { get, live, polled } from "./live.js";
import { requestLink } from "./states.js";

const PERIOD = 2000;
const COLUMNS = [["Task", "what"], ["Attempt", "number"], ["Behind", "number wide", "Tasks of the same request that wait behind this one"], ["For", "number age", "The time since the request stored the batch"], ["Lease", "number age", "The time until the lease ends, unless the worker extends it"], ["Request", "id widest"]];

export function workers(main, { signal }) {
	const place = h("div");
	main.append(h("h1", "Workers"), h("p.muted", "Workers hold leases for the batches of durable tasks that they run. If a worker dies, its leases end, and other workers go on."), place);
	const load = async () => {
		const { batches, workers } = await get("workers", {}, signal).catch((refusal) => {
			if (refusal.status !== 404) throw refusal;
			return {};
		});
		keep(place, batches ? contents(batches, workers) : [h("p.empty", "This host has no task engine, so no task is durable.")]);
	};
	polled(load, PERIOD, signal);
}

const contents = ({ ready, delayed, leased, dead }, workers) => [
	h("p", `The task engine has ${count(ready)} ready, ${count(delayed)} delayed, ${count(leased)} leased and ${count(dead)} dead batches.`),
	workers.length === 0 && h("p.empty", "No worker holds a lease now."),
	workers.map(({ name, leased, batches }) =>
		h("section", h("h2", clip(name ?? "unknown worker"), ` · ${plural(leased, "batch", "batches")}`), table("list", COLUMNS, h("tbody", batches.map(row))),
			leased > batches.length && h("p.muted", `The first ${batches.length} are shown.`)),
	),
];

const row = ({ request, task, attempt, behind, since, lease_left: left }) =>
	h("tr", h("td.what", clip(task)),
		h("td.number", count(attempt)),
		h("td.number.wide", count(behind)),
		h("td.number.age", age(since, live.host?.now ?? Date.now())),
		h("td.number.age", duration(left === null ? null : left * 1e6)),
		h("td.id.widest", requestLink(request, clip(request))),
	);
