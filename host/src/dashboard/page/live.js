// Calls the host's JSON interface, and follows the host's stream of events.

const PATIENCE = 10_000;

/** Calls the host. If the answer is not a success, throws an error with the HTTP status in `status`. */
async function ask(path, options, signal) {
	const signals = [AbortSignal.timeout(PATIENCE), ...(signal ? [signal] : [])];
	const response = await fetch(`api/${path}`, { ...options, signal: AbortSignal.any(signals) });
	const body = await response.json().catch(() => ({}));
	if (!response.ok) throw Object.assign(new Error(body.error ?? `status ${response.status}`), { status: response.status });
	return body;
}

export function get(path, query, signal) {
	const given = Object.entries(query ?? {}).filter(([, value]) => value !== "" && value !== undefined);
	const search = new URLSearchParams(given).toString();
	return ask(search ? `${path}?${search}` : path, {}, signal);
}

export const post = (path, body) =>
	ask(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

const events = new EventTarget();
const send = (kind, detail) => events.dispatchEvent(new CustomEvent(kind, { detail }));

/**
 * Sends the events `requests` and `host` when they come from the host, and `connection` with true or false. While the
 * page is hidden, no events come. The event `resume` asks the screens to load their data again.
 */
export const live = {
	paused: false,
	host: null,
	on: (kind, signal, listen) => events.addEventListener(kind, (event) => listen(event.detail), { signal }),
	pause(paused) {
		live.paused = paused;
		if (!paused) send("resume");
	},
};

let source = null;
let again = 0;

/** Follows the host's events. When a hidden page is shown again, opens a new stream. */
export function follow() {
	clearTimeout(again);
	source?.close();
	if (document.hidden || live.host?.state === "no host") return;
	source = new EventSource("api/events");
	source.onopen = () => {
		send("connection", true);
		if (live.host && !live.paused) send("resume");
	};
	source.onerror = () => {
		send("connection", false);
		// The browser connects again by itself, unless the host has refused the connection.
		if (source.readyState === EventSource.CLOSED) again = setTimeout(follow, 1000);
	};
	for (const kind of ["host", "requests"]) {
		source.addEventListener(kind, ({ data }) => {
			const detail = JSON.parse(data);
			if (kind === "host") live.host = detail;
			send(kind, detail);
		});
	}
}
document.addEventListener("visibilitychange", follow);

/**
 * Calls `load` now, each time the page continues, and every `period` ms unless the page is paused or hidden. A call never
 * begins while another call runs. Returns a function that asks for a call at once.
 */
export function polled(load, period, signal) {
	let busy = false;
	let again = false;
	const run = async () => {
		again = busy;
		if (busy || signal.aborted) return;
		busy = true;
		// If the host does not answer, the notice about the connection shows it.
		await load().catch((error) => error.status && console.warn(error.message));
		busy = false;
		if (again) run();
	};
	live.on("resume", signal, run);
	const timer = period && setInterval(() => live.paused || document.hidden || run(), period);
	signal.addEventListener("abort", () => clearInterval(timer));
	run();
	return run;
}
