// Draws one request. Time runs from left to right. The line "sent" separates the part that the client waited for from
// the part after the response.

import { clip, duration, h, hideTip, nice, resized, setText, svg, ticks, withTip } from "./dom.js";
import { chip, patterns } from "./states.js";
import { rowsOf, stateOf } from "./timeline.js";

const TOP = 40; // px above the first row: names of the two sides, and the axis
const ROW = 28;
const NARROW_ROW = 44; // the label stands above the bar
const BAR = 14;
const EDGE = 10; // px at both sides, so that marks at the ends can be seen
const LEAST_SHARE = 0.15; // of the width, for each side of "sent"
const LEAST_BAR = 3; // px

export function waterfall(signal) {
	const labels = h("ol.labels");
	const [back, front] = [svg("g"), svg("g")];
	const picture = svg("svg.picture", { role: "group", "aria-label": "Timeline" }, patterns(), back, front);
	const note = h("span.muted");
	const whole = h("button", { onclick: () => zoomTo(null) }, "Show all");
	const element = h("section", h("div.chart", labels, h("div.plot", picture)), h("p.bar", key(), whole, note));
	const [behind, marks, rows] = [keep(back), keep(front), keep(labels)];
	let timeline = null;
	let received = 0;
	let zoom = null; // the two moments at the edges, in µs

	function draw() {
		if (!timeline) return;
		const width = picture.parentElement.clientWidth;
		const narrow = labels.offsetWidth > width * 0.9;
		const now = timeline.ended ?? timeline.now + Math.round((performance.now() - received) * 1000);
		const all = rowsOf(timeline, now);
		const height = narrow ? NARROW_ROW : ROW;
		const bottom = TOP + all.length * height;
		const map = scaleOf(timeline, now, width, zoom);
		setText(note, zoom ? `${duration(zoom[0])} to ${duration(zoom[1])}` : map.split ? "Each side has its own scale. Select a bar to enlarge it." : "");
		whole.hidden = !zoom;
		set(picture, { width, height: bottom + 8, viewBox: `0 0 ${width} ${bottom + 8}` });
		ground(behind, map, timeline, bottom);
		for (const [at, row] of all.entries()) {
			const y = TOP + at * height + (narrow ? 22 : (ROW - BAR) / 2);
			label(rows, row, height);
			for (const [index, mark] of row.marks.entries()) draws[mark.kind](marks, map, mark, y, `${row.key} ${index} ${mark.kind}`);
		}
		for (const kept of [behind, marks, rows]) kept.sweep();
	}
	resized(element, signal, draw);

	const zoomTo = (next) => {
		zoom = next;
		hideTip();
		draw();
	};
	const enlarge = ({ target }) => {
		const { began, ended } = target.closest("[data-bar]")?.mark ?? {};
		if (ended > began) zoomTo([Math.max(0, began - (ended - began) / 4), ended + (ended - began) / 4]);
	};
	picture.addEventListener("click", enlarge);
	picture.addEventListener("keydown", (event) => event.key === "Enter" && enlarge(event));

	return {
		element,
		draw,
		update(next) {
			timeline = next;
			received = performance.now();
			draw();
		},
	};
}

/** Makes the key of the chart: the meaning of the marks that are not states. */
function key() {
	const upright = (look) => svg(`path.${look}`, { d: "M9 0V14" });
	const samples = {
		sent: upright("sent"),
		"task added": upright("added"),
		waits: svg("g.gap", svg("path", { d: "M0 7H18" })),
		"line printed": svg("path.printed", { d: "M9 5V10" }),
		deadline: upright("deadline"),
		"did not run": svg("path.mark.hollow.s-skipped", { d: "M9 2l5 5-5 5-5-5Z" }),
		"fresh instance": svg("g.fresh", svg("rect.fresh-band", { width: 18, height: 14 })),
	};
	const sample = ([name, mark]) => h("span.chip", svg("svg", { width: 18, height: 14, "aria-hidden": "true" }, mark), name);
	return h("span.key", Object.entries(samples).map(sample));
}

/**
 * Makes the scale from moments to positions. If one side of "sent" would be too narrow, each side gets its own scale.
 */
function scaleOf({ sent, ended }, now, width, zoom) {
	// The end of a running request is rounded up, so that the chart moves rarely.
	const [from, to] = zoom ?? [0, Math.max(1, ended ?? nice(now * 1.1))];
	const [left, right] = [EDGE, Math.max(EDGE + 1, width - EDGE)];
	const share = sent / to;
	const split = !zoom && sent > 0 && sent < to && (share < LEAST_SHARE || share > 1 - LEAST_SHARE);
	const middle = left + (right - left) * (share < 0.5 ? 0.25 : 0.75);
	const parts = split ? [[from, sent, left, middle], [sent, to, middle, right]] : [[from, to, left, right]];
	const x = (at) => {
		const [a, b, p, q] = parts.find((part) => at <= part[1]) ?? parts.at(-1);
		return p + ((at - a) / (b - a)) * (q - p);
	};
	return { x, from, to, split, parts, left, right, seen: (at) => at !== null && at >= from && at <= to };
}

function label(rows, { key, name, task }, height) {
	const made = rows.take(key, () => {
		const link = task ? h("a", { href: "#", "data-item": true }, clip(name)) : h("span.muted", name);
		link.addEventListener("click", (event) => {
			event.preventDefault();
			document.querySelector(`#task-${key} [data-item]`)?.focus();
		});
		return h("li", h("span.lead"), link);
	});
	made.style.height = `${height}px`;
	const state = task && stateOf(task);
	if (!task || made.dataset.state === state) return;
	made.dataset.state = state;
	made.firstChild.replaceChildren(chip(state, h("span.hidden", state)));
}

/** Draws the background of the rows: the two sides, the axis, and the lines "sent" and "stop". */
function ground(kept, map, { sent, stop, batch, phase }, bottom) {
	const waits = phase === "handling" || phase === "sending";
	const boundary = sent !== null && !batch ? map.x(Math.min(Math.max(sent, map.from), map.to)) : waits ? map.right : null;
	if (boundary !== null) {
		set(kept.take("side", () => svg("rect.client-waits")), { width: boundary > map.left ? boundary : 0, height: bottom + 8 });
		if (boundary > 110) words(kept, "left", "the client waits", boundary - 8, 12, "end", "muted");
		if (map.right - boundary > 130) words(kept, "right", "after the response", boundary + 8, 12, "start", "muted");
	}
	const right = boundary < map.right - 90;
	const named = right ? [-30, 112] : [-112, 30]; // px beside "sent" that its name takes
	for (const [part, [from, to, left, end]] of map.parts.entries()) {
		for (const tick of ticks(from, to, Math.floor((end - left) / 80))) {
			const x = map.x(tick);
			line(kept, `grid ${part} ${tick}`, x, 34, bottom, "grid");
			if (map.seen(sent) && x - boundary > named[0] && x - boundary < named[1]) continue;
			const [number, unit] = duration(tick).split(/ (.*)/);
			words(kept, `tick ${part} ${tick}`, `${Number(number)} ${unit}`, x, 30, x < 30 ? "start" : x > map.right - 20 ? "end" : "middle", "tick");
		}
	}
	if (map.seen(stop)) {
		withName(line(kept, "stop", map.x(stop), 18, bottom + 8, "stop"), "The host began to stop", stop);
		words(kept, "stop name", "stop", map.x(stop) + 4, bottom + 5, "start", "stop-name");
	}
	if (map.seen(sent) && !batch) {
		withName(line(kept, "sent", boundary, 0, bottom + 8, "sent"), "The operating system had the whole response", sent);
		words(kept, "sent name", `sent ${duration(sent)}`, boundary + (right ? 6 : -6), 30, right ? "start" : "end", "sent-name");
	}
}

const draws = {
	bar(kept, map, mark, y, key) {
		if (mark.ended < map.from || mark.began > map.to) return;
		const x = map.x(Math.max(mark.began, map.from));
		const width = Math.max(LEAST_BAR, map.x(Math.min(mark.ended, map.to)) - x);
		const bar = kept.take(key, () => svg("g", svg("rect.fresh-band", { height: BAR + 8 }), svg("rect.body", { height: BAR, rx: 1 })));
		focusable(bar, mark, mark.open ? "open" : "");
		set(bar.firstChild, { x: x - 2, y: y - 4, width: width + 4 });
		set(bar.lastChild, { x, y, width });
		const right = x < map.right - 90;
		if (mark.first) words(kept, `${key} name`, "fresh instance", x + (right ? -2 : -6), y - 6, right ? "start" : "end", "fresh-name");
	},
	end(kept, map, mark, y, key) {
		if (!map.seen(mark.at)) return;
		const end = kept.take(key, () => svg("path"));
		focusable(end, mark, "hollow");
		set(end, { d: `M${map.x(mark.at)} ${y + BAR / 2 - 6}l6 6-6 6-6-6Z` });
	},
	gap(kept, map, mark, y, key) {
		const [from, to] = [Math.max(mark.began, map.from), Math.min(mark.ended, map.to)];
		if (to <= from) return;
		const made = kept.take(key, () => svg("g.gap", svg("path.near"), svg("path")));
		for (const path of made.children) set(path, { d: `M${map.x(from)} ${y + BAR / 2}H${map.x(to)}` });
		withLines(made, [`${mark.name} ${duration(mark.ended - mark.began)}`]);
	},
	tick(kept, map, mark, y, key) {
		if (!map.seen(mark.at)) return;
		const [from, to] = mark.look === "printed" ? [y + BAR - 5, y + BAR] : [y - 3, y + BAR + 3];
		withName(line(kept, key, map.x(mark.at), from, to, mark.look), mark.name, mark.at);
	},
};

/**
 * Makes a bar or an end focusable. The page shows the mark's times and error on hover and on focus. Screen readers read
 * them aloud.
 */
function focusable(element, mark, look) {
	const { name, at, began, ended, open, more } = mark;
	const times = at === undefined ? `${duration(began)} to ${open ? "now" : duration(ended)}, ${duration(ended - began)} long` : `at ${duration(at)}`;
	element.mark = mark;
	withLines(element, [name, times, ...more]);
	set(element, { class: `mark ${mark.look} ${look}`, "aria-label": element.lines.join(". "), tabindex: 0, role: "img", "data-bar": "" });
}

function withLines(element, lines) {
	if (!element.lines) withTip(element);
	element.lines = lines;
}

const withName = (element, name, at) => withLines(element, [name, `at ${duration(at)}`]);

const line = (kept, key, x, from, to, look) => set(kept.take(key, () => svg("path")), { class: look, d: `M${x.toFixed(1)} ${from}V${to}` });

function words(kept, key, text, x, y, anchor, look) {
	const made = kept.take(key, () => svg("text"));
	setText(made, text);
	set(made, { class: look, x: x.toFixed(1), y, "text-anchor": anchor });
}

function set(element, attributes) {
	for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
	return element;
}

/**
 * Keeps elements that are drawn again and again. Each element is made once for its key. If a drawing does not use an
 * element, the element is removed.
 */
function keep(parent) {
	const elements = new Map();
	const taken = new Set();
	return {
		take(key, make) {
			taken.add(key);
			if (!elements.has(key)) elements.set(key, parent.appendChild(make()));
			return elements.get(key);
		},
		sweep() {
			for (const [key, element] of elements) {
				if (taken.has(key)) continue;
				element.remove();
				elements.delete(key);
			}
			taken.clear();
		},
	};
}
