// Turns a request's timeline into rows from top to bottom: handler, body, tasks, teardown. Each row has a name and its
// marks.

/** Returns the state of a task in a timeline. */
export const stateOf = (task) => task.end?.state ?? (task.attempts.some((attempt) => attempt.ended === null) ? "running" : "waiting");

/** Returns the moment from which a task waits: when the task was added and the response was sent. */
export const waitsFrom = (task, timeline) => Math.max(task.added, timeline.sent ?? 0);

/** Returns the key of the row for a line that the guest printed: the id of a task, "handler" or "teardown". */
export const ownerOf = (line, timeline) => line.task ?? (line.at >= (timeline.teardowns.at(-1)?.[0] ?? Infinity) ? "teardown" : "handler");

/** Makes a bar from one moment to another. A bar without an end is open. */
const bar = (began, ended, now, look, name, ...more) => ({ kind: "bar", began, ended: ended ?? now, open: ended === null, look, name, more: more.filter(Boolean) });
const tick = (at, look, name) => ({ kind: "tick", at, look, name });
const gap = (began, ended, name) => ({ kind: "gap", began, ended, name });

export function rowsOf(timeline, now) {
	const rows = [];
	const { responded, sent, phase, batch, teardowns } = timeline;
	if (!batch) {
		// If a response was not sent, the response ended before the first task began.
		const begins = timeline.tasks.flatMap((task) => task.attempts.slice(0, 1).map((first) => first.began));
		const fell = Math.min(timeline.ended ?? now, ...begins, ...teardowns.map(([began]) => began));
		const handled = responded ?? (phase === "handling" ? null : (sent ?? fell));
		rows.push({ key: "handler", name: "handler", marks: [bar(0, handled, now, "before", "Handler, until it returned the response headers")] });
		if (responded !== null) {
			const end = sent ?? (phase === "sending" ? null : Math.max(fell, responded));
			rows.push({ key: "body", name: "response body", marks: [bar(responded, end, now, "before light", "Response body, until it was sent")] });
		}
	}
	const instances = new Set([0]);
	for (const task of timeline.tasks) rows.push({ key: task.id, name: task.name, task, marks: marksOf(task, timeline, now, instances) });
	if (teardowns.length > 0) {
		rows.push({ key: "teardown", name: "teardown", marks: teardowns.map(([began, ended]) => bar(began, ended, now, "teardown", "Teardown")) });
	}
	for (const row of rows) {
		const printed = timeline.lines.filter((line) => ownerOf(line, timeline) === row.key);
		row.marks.push(...printed.map((line) => tick(line.at, "printed", `${line.stream}: ${line.text}`)));
	}
	return rows;
}

/**
 * Makes the marks of a task. `instances` are the instances in the rows above. The first attempt in a new instance gets
 * a mark.
 */
function marksOf(task, timeline, now, instances) {
	const marks = [tick(task.added, "added", `${task.name}: added`)];
	let from = waitsFrom(task, timeline);
	for (const { number, began, ended, instance, state: result, error } of task.attempts) {
		const state = ended === null ? "running" : result;
		const fresh = instance > 0;
		marks.push(gap(from, began, number === 1 ? "waited" : "paused before the next attempt"));
		// The host stopped a timed-out attempt at the attempt's deadline.
		const deadline = task.timeout ? began + task.timeout : state === "timed-out" && ended;
		if (deadline) marks.push(tick(deadline, "deadline", `${task.name}: deadline of attempt ${number}`));
		const look = `s-${state}${fresh ? " fresh" : ""}`;
		const made = bar(began, ended, now, look, `${task.name}: attempt ${number}, ${state}`, fresh && `in fresh instance ${instance}`, error);
		marks.push({ ...made, first: !instances.has(instance) });
		instances.add(instance);
		from = ended ?? now;
	}
	const { end } = task;
	if (!end) {
		marks.push(gap(from, now, "waits"));
	} else if (task.attempts.at(-1)?.state !== end.state) {
		// If a task ends without an attempt, such as a skipped task, its end has no length.
		marks.push(gap(from, end.at, "waited"));
		marks.push({ kind: "end", at: end.at, look: `s-${end.state}`, name: `${task.name}: ${end.state}`, more: end.error ? [end.error] : [] });
	}
	return marks;
}
