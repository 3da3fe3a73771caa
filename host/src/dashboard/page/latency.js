// Shows how long requests take until their response is sent, and until their tasks have ended. The charts show
// percentiles on a logarithmic scale.

import { clock, duration, h, plural, resized, setText, svg } from "./dom.js";
import { get, live, polled } from "./live.js";

const PERIOD = 2000;
const HEIGHT = 300;
const [LEFT, RIGHT, TOP, BOTTOM] = [64, 12, 22, 22];
const NAMES = { sent: "to sent", ended: "to the end" };
const CURVES = ["sent", "ended"].flatMap((name) => ["p50", "p90", "p99"].map((p) => ({ name, p, of: (point) => point[name]?.[p] })));

export function latency(main, { query, signal }) {
	const minutes = Number(query.minutes) || 15;
	const picture = svg("svg.latency-chart", { height: HEIGHT, role: "img", "aria-label": "Percentiles over time" });
	const when = h("caption");
	const cells = CURVES.map(() => h("td.number"));
	const values = h("table.values", when,
		h("thead", h("tr", h("td"), CURVES.slice(0, 3).map(({ p }) => h("th.number", { scope: "col" }, sample(p), p)))),
		h("tbody", Object.keys(NAMES).map((name, row) => h("tr", h("th", { scope: "row", class: `l-${name}` }, NAMES[name]), cells.slice(row * 3, row * 3 + 3)))),
	);
	const empty = h("p.empty", "No request has ended in this time. The chart begins with the first one.");
	const ranges = [5, 15, 60].map((span) => h("a.button", { href: `#latency?minutes=${span}`, "aria-current": span === minutes && "true" }, `${span} min`));
	const about = "“To sent” is the time that the client waits for the whole response. “To the end” includes the tasks and the teardown after it. Vertical lines mark reloads.";
	const chart = h("div", { hidden: true }, picture, values);
	main.append(h("h1", "Latency"), h("p.muted", about), h("p.bar", ranges), chart, empty);

	let data = { points: [] };
	let marked = null; // the time under the pointer
	let view = null;

	const draw = resized(main, signal, () => {
		const { points, step } = data;
		empty.hidden = points.length > 0;
		chart.hidden = points.length === 0;
		if (chart.hidden) return;
		view = viewOf(data, minutes, main.clientWidth);
		picture.setAttribute("width", view.width);
		const point = points.find((point) => point.time === marked);
		picture.replaceChildren(...axes(view), ...CURVES.map((curve) => curveOf(view, curve)), ...reloads(view), ...(point ? [upright("cross", view.x(point.time))] : []));
		const told = point ?? points.at(-1);
		setText(when, `${point ? "" : "Newest, "}${clock(told.time)}: ${plural(told.count, "request")} in ${step} s`);
		CURVES.forEach((curve, at) => setText(cells[at], duration(curve.of(told))));
	});
	picture.addEventListener("pointermove", (event) => {
		const at = view.time(event.clientX - picture.getBoundingClientRect().left);
		const distance = ({ time }) => Math.abs(new Date(time) - at);
		marked = data.points.reduce((best, point) => (distance(point) < distance(best) ? point : best)).time;
		draw();
	});
	picture.addEventListener("pointerleave", () => {
		marked = null;
		draw();
	});
	const load = async () => {
		data = await get("latency", { minutes }, signal);
		draw();
	};
	polled(load, PERIOD, signal);
}

const sample = (p) => svg("svg.sample", { viewBox: "0 0 24 8", "aria-hidden": "true" }, svg("path", { class: `curve ${p}`, d: "M0 4H24" }));

function viewOf({ points, reloads, step }, minutes, width) {
	const end = Math.max(Date.parse(points.at(-1).time), Date.parse(live.host?.now) || 0);
	// If the host is young, the chart begins with the host's first request.
	const start = Math.max(end - minutes * 60_000, Math.min(Date.parse(points[0].time), end - 60_000));
	const seen = points.filter((point) => Date.parse(point.time) >= start);
	const all = seen.flatMap((point) => CURVES.map((curve) => curve.of(point))).filter((us) => us > 0);
	const low = 10 ** Math.floor(Math.log10(Math.min(...all, 1e9)));
	const high = Math.max(10 ** Math.ceil(Math.log10(Math.max(...all, 1))), low * 10);
	const [right, bottom] = [width - RIGHT, HEIGHT - BOTTOM];
	return {
		...{ points: seen, reloads, step, width, start, end, low, high, right },
		x: (time) => LEFT + ((new Date(time) - start) / (end - start)) * (right - LEFT),
		y: (us) => bottom - (Math.log(Math.max(us, low) / low) / Math.log(high / low)) * (bottom - TOP),
		time: (x) => start + ((x - LEFT) / (right - LEFT)) * (end - start),
	};
}

const text = (x, y, anchor, words, look = "tick") => svg("text", { x, y, "text-anchor": anchor, class: look }, words);
const upright = (look, x, from = TOP) => svg("path", { class: look, d: `M${x} ${from}V${HEIGHT - BOTTOM}` });

function axes(view) {
	const marks = [];
	for (let us = view.low; us <= view.high; us *= 10) {
		const y = view.y(us);
		const name = us < 1000 ? `${us} µs` : us < 1e6 ? `${us / 1000} ms` : `${us / 1e6} s`;
		marks.push(svg("path.grid", { d: `M${LEFT} ${y}H${view.right}` }), text(LEFT - 6, y + 4, "end", name));
	}
	const room = (view.right - LEFT) / 90;
	const step = [1, 2, 5, 10, 15, 30].map((minutes) => minutes * 60_000).find((step) => (view.end - view.start) / step <= room) ?? 3_600_000;
	for (let time = Math.ceil(view.start / step) * step; view.x(time) <= view.right - 14; time += step) {
		marks.push(upright("grid", view.x(time)), text(view.x(time), HEIGHT - 6, "middle", clock(time).slice(0, 5)));
	}
	return marks;
}

/** Makes the curve of a percentile. The curve has gaps where steps have no requests. */
function curveOf({ points, step, x, y }, { name, p, of }) {
	let before = -Infinity;
	let d = "";
	for (const point of points.filter((point) => of(point) >= 0)) {
		const time = Date.parse(point.time);
		const place = `${x(time).toFixed(1)} ${y(of(point)).toFixed(1)}`;
		d += time - before > step * 1500 ? `M${place}h.1` : `L${place}`;
		before = time;
	}
	return svg("path", { class: `curve l-${name} ${p}`, d });
}

const reloads = (view) =>
	view.reloads.filter((time) => view.x(time) >= LEFT).map((time) => {
		const line = upright("reload", view.x(time));
		line.append(svg("title", `Reload at ${clock(time)}`));
		return line;
	});
