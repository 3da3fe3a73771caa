// The host's interface: calls, and its stream of events.

const PATIENCE = 10_000;

/** An answer of the host that is not a success. `status` is its HTTP status. */
export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function ask(path, options, signal) {
  const signals = [AbortSignal.timeout(PATIENCE), ...(signal ? [signal] : [])];
  const response = await fetch(`api/${path}`, { ...options, signal: AbortSignal.any(signals) });
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refusal(response.status, body.error ?? `The host answered ${response.status}.`);
  return body;
}

export function get(path, query, signal) {
  const given = Object.entries(query ?? {}).filter(([, value]) => value !== "" && value !== undefined);
  const search = new URLSearchParams(given).toString();
  return ask(search ? `${path}?${search}` : path, {}, signal);
}

export const post = (path, body) =>
  ask(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

/**
 * Sends `requests`, `host` and `reload` as they come from the host, `connection` with true or false, and `pause`.
 * While the page is hidden there are no events. When it is seen again, `resume` asks the screens to load anew.
 */
class Live extends EventTarget {
  paused = false;
  host = null;
  #source = null;
  #again = 0;

  start() {
    document.addEventListener("visibilitychange", () => this.#follow());
    this.#follow();
  }

  pause(paused) {
    this.paused = paused;
    this.#send("pause");
    if (!paused) this.#send("resume");
  }

  on(kind, signal, listen) {
    this.addEventListener(kind, (event) => listen(event.detail), { signal });
  }

  #send(kind, detail) {
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }

  #follow() {
    clearTimeout(this.#again);
    this.#source?.close();
    this.#source = null;
    if (document.hidden) return;
    const source = new EventSource("api/events");
    this.#source = source;
    let lost = false;
    source.addEventListener("open", () => {
      this.#send("connection", true);
      // The events of the time without a connection may be gone.
      if (lost && !this.paused) this.#send("resume");
      lost = false;
    });
    source.addEventListener("error", () => {
      lost = true;
      this.#send("connection", false);
      // The browser tries again by itself, unless the host has refused.
      if (source.readyState === EventSource.CLOSED) this.#again = setTimeout(() => this.#follow(), 1000);
    });
    source.addEventListener("host", (event) => {
      this.host = JSON.parse(event.data);
      this.#send("host", this.host);
    });
    source.addEventListener("requests", (event) => this.#send("requests", JSON.parse(event.data)));
    source.addEventListener("reload", (event) => this.#send("reload", event.data));
    if (!this.paused && this.host) this.#send("resume");
  }
}

export const live = new Live();

/**
 * Calls `load` now, each time the page continues, and every `period` ms unless the page is paused or hidden. A call never
 * begins while another one runs. Returns a function that asks for a call ahead of time.
 */
export function polled(load, period, signal) {
  let busy = false;
  let again = false;
  const run = async () => {
    if (signal.aborted) return;
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    try {
      await load();
    } catch (error) {
      // The notice about the connection shows that the host does not answer.
      if (error instanceof Refusal || error instanceof SyntaxError) console.warn(error.message);
    }
    busy = false;
    if (again) {
      again = false;
      run();
    }
  };
  live.on("resume", signal, run);
  if (period) {
    const timer = setInterval(() => live.paused || document.hidden || run(), period);
    signal.addEventListener("abort", () => clearInterval(timer));
  }
  run();
  return run;
}
