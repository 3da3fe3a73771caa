// What running code can ask about its request and its task.

import context from "epilogue:background/context@0.1.0";

/** The request's position in a distributed trace, as W3C Trace Context defines it. Send both headers on to other services. */
export interface TraceContext {
  readonly traceparent: string;
  readonly tracestate: string | undefined;
}

/** The identity of the current request. The handler, its tasks and the teardown get the same identity. */
export class RequestContext {
  private constructor(
    /** The request's identifier. The host's log uses the same identifier. No other request has it. */
    readonly requestId: string,
    /** The request's position in a distributed trace. */
    readonly traceContext: TraceContext,
  ) {}

  /** Returns the current request, or undefined if the instance serves none. */
  static current(): RequestContext | undefined {
    const request = context.request();
    if (request === null) return undefined;
    const { traceparent, tracestate } = request.traceContext;
    return new RequestContext(request.requestId, { traceparent, tracestate: tracestate ?? undefined });
  }
}

/** How the response of a task's request ended. A `reason` says why there was no complete response. */
export type ResponseOutcome =
  | { readonly kind: "delivered" | "client-gone" }
  | { readonly kind: "response-failed" | "handler-failed"; readonly reason: string };

/** The running task. */
export class TaskContext {
  private constructor(
    /** The task's number within its request: 1, 2, 3 … in the order of adding. */
    readonly id: number,
    /** The task's name. */
    readonly name: string,
    /** The number of this attempt: 1 for the first. */
    readonly attempt: number,
    /** How the response ended. */
    readonly outcome: ResponseOutcome,
  ) {}

  /**
   * Returns the running task, or undefined in a handler or a teardown.
   *
   * The host runs one task at a time. Code that a handler left running, such as the promise of `ctx.waitUntil`, sees the task
   * that runs at that moment.
   */
  static current(): TaskContext | undefined {
    return current;
  }

  /** A key that is the same for every attempt of this task. No other task has the same key. */
  get idempotencyKey(): string {
    // The host has a key as long as there is a request, and a task runs only within one.
    return context.idempotencyKey(this.id) ?? "";
  }

  /** The identifier of the task's request. */
  get requestId(): string {
    return RequestContext.current()?.requestId ?? "";
  }

  /** Runs `body` as the task that the host has asked for. */
  static async run(asked: HostTask, body: () => unknown): Promise<void> {
    current = new TaskContext(asked.id, asked.name, asked.attempt, outcomeOf(asked.outcome));
    try {
      await body();
    } finally {
      current = undefined;
    }
  }
}

let current: TaskContext | undefined;

/** A task as the host passes it to `runner.run`. */
export interface HostTask {
  id: number;
  name: string;
  args: Uint8Array;
  attempt: number;
  outcome: HostOutcome;
}

/** The outcome of a response, as the host passes it. */
export type HostOutcome = { tag: ResponseOutcome["kind"]; val?: string };

/** The host's outcome for JavaScript. */
export function outcomeOf({ tag, val }: HostOutcome): ResponseOutcome {
  return tag === "delivered" || tag === "client-gone" ? { kind: tag } : { kind: tag, reason: val ?? "" };
}
