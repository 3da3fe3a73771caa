// Makes elements, and formats texts, times and counts for the pages.

const SVG = "http://www.w3.org/2000/svg";

// Makes an element from a name with classes, such as "td.number", optional attributes, and children. A child that is
// not a node becomes a text node, so the browser never reads a guest's text as markup.
const maker = (create) => (name, ...children) => {
	const [tag, ...classes] = name.split(".");
	const element = create(tag);
	if (classes.length > 0) element.setAttribute("class", classes.join(" "));
	if (children[0]?.constructor === Object) {
		for (const [key, value] of Object.entries(children.shift())) {
			if ((value ?? false) === false) continue;
			if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
			else element.setAttribute(key, value === true ? "" : value);
		}
	}
	element.append(...children.flat(Infinity).filter((child) => (child ?? false) !== false));
	return element;
};

export const h = maker((tag) => document.createElement(tag));
export const svg = maker((tag) => document.createElementNS(SVG, tag));

/** Makes a table. Each column has a name, and may have classes such as "number" and an explanation. */
export const table = (classes, columns, ...bodies) =>
	h("table", { class: classes }, h("thead", h("tr", columns.map(([name, look, title]) => h("th", { class: look, title, scope: "col" }, name)))), bodies);

export function setText(element, text) {
	if (element.textContent !== text) element.textContent = text;
}

// Control characters, and characters that have no width or change the direction of a text.
const HIDDEN = /[\p{Cc}\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/gu;

/** Returns a guest's text in which each hidden character is replaced by its escape sequence. */
export const visible = (text) =>
	String(text).replace(HIDDEN, (c) => (c === "\n" ? "\\n" : `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`));

/** Shows a guest's text on one line, cut where the space ends. The title contains the whole text. */
export const clip = (text, attributes) => {
	const shown = visible(text);
	return h("bdi", { ...attributes, class: `clip ${attributes?.class ?? ""}`, title: shown }, shown);
};

/** Formats a time in µs with three digits and a unit. */
export function duration(us) {
	if ((us ?? null) === null) return "–";
	if (us < 1000) return `${Math.round(us)} µs`;
	if (us < 999_500) return `${digits(us / 1e3)} ms`;
	if (us < 59_950_000) return `${digits(us / 1e6)} s`;
	const pair = (value, size, large, small) => `${Math.floor(value / size)} ${large} ${Math.floor(value % size)} ${small}`;
	const seconds = Math.round(us / 1e6);
	if (seconds < 3600) return pair(seconds, 60, "min", "s");
	return seconds < 86400 ? pair(seconds / 60, 60, "h", "min") : pair(seconds / 3600, 24, "d", "h");
}
const digits = (value) => value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0);

export const age = (from, to) => duration(Math.max(0, new Date(to) - new Date(from)) * 1000);

const pad = (number, width = 2) => String(number).padStart(width, "0");

export function clock(time, milliseconds) {
	const date = new Date(time);
	const seconds = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
	return milliseconds ? `${seconds}.${pad(date.getMilliseconds(), 3)}` : seconds;
}

const number = new Intl.NumberFormat("en-US");
export const count = (value) => ((value ?? null) === null ? "–" : number.format(value));
export const plural = (value, word, words = `${word}s`) => `${count(value)} ${value === 1 ? word : words}`;

/** Replaces the content of an element. The link, button or field at the same place keeps the focus. */
export function keep(place, content) {
	const fields = () => [...place.querySelectorAll("a, button, input")];
	const focused = fields().indexOf(document.activeElement);
	place.replaceChildren(...content.flat().filter(Boolean));
	fields()[focused]?.focus();
}

/**
 * Updates rows in place: `make(item)` returns a row with a function `update(item)`. `rows` keeps the rows by their
 * items' keys.
 */
export const keyed = (body, rows = new Map()) => (items, key, make) => {
	const gone = new Map(rows);
	rows.clear();
	let place = body.firstChild;
	for (const item of items) {
		const id = key(item);
		const row = gone.get(id) ?? make(item);
		gone.delete(id);
		row.update(item);
		rows.set(id, row);
		if (row.element === place) place = place.nextSibling;
		else body.insertBefore(row.element, place);
	}
	for (const { element } of gone.values()) element.remove();
};

export function ticks(from, to, most) {
	const step = nice((to - from) / Math.max(1, most));
	const values = [];
	for (let value = Math.ceil(from / step) * step; value <= to; value += step) values.push(Math.round(value));
	return values;
}

/** Rounds `value` up to 1, 2 or 5 times a power of ten. The result is at least 1. */
export function nice(value) {
	const power = 10 ** Math.floor(Math.log10(Math.max(1, value)));
	return power * ([1, 2, 5].find((factor) => factor * power >= value) ?? 10);
}

/**
 * Returns a function that asks for a drawing. `draw` runs at most once a frame of the screen, and at most every `rest`
 * ms.
 */
export function framed(draw, signal, rest = 0) {
	let asked = false;
	let last = 0;
	const run = (now) => {
		asked = false;
		last = now;
		if (!signal.aborted) draw();
	};
	return () => {
		if (asked) return;
		asked = true;
		setTimeout(() => requestAnimationFrame(run), last + rest - performance.now());
	};
}

/** Calls `draw` now and each time the element changes its size. Returns a function that draws again. */
export function resized(element, signal, draw) {
	const again = framed(draw, signal);
	const observer = new ResizeObserver(again);
	observer.observe(element);
	signal.addEventListener("abort", () => observer.disconnect());
	return again;
}

const tip = document.getElementById("tip");

/** Shows an element's `lines` of text beside the element while the pointer or the focus is on the element. */
export function withTip(element) {
	const show = () => {
		const [first, ...rest] = element.lines;
		tip.replaceChildren(h("strong", visible(first)), ...rest.map((line) => h("div", visible(line))));
		tip.hidden = false;
		const at = element.getBoundingClientRect();
		const { offsetWidth: width, offsetHeight: height } = tip;
		const left = Math.min(Math.max(8, at.left + Math.min(at.width, 40) / 2), innerWidth - width - 8);
		const below = at.bottom + 8 + height < innerHeight;
		tip.style.left = `${left + scrollX}px`;
		tip.style.top = `${(below ? at.bottom + 8 : Math.max(4, at.top - height - 8)) + scrollY}px`;
	};
	for (const kind of ["pointerenter", "focus"]) element.addEventListener(kind, show);
	for (const kind of ["pointerleave", "blur"]) element.addEventListener(kind, hideTip);
}

export function hideTip() {
	tip.hidden = true;
}
