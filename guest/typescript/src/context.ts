// `RequestContext` and `TaskContext`, with which code reads the current request and the running task.

import context from "epilogue:background/context@0.1.0";

/**
 * The request's position in a distributed trace, in the format of W3C Trace Context. Send both values as headers with
 * requests to other services.
 */
export interface TraceContext {
  readonly traceparent: string;
  readonly tracestate: string | undefined;
}

/**
 * The identifier and the trace context of the current request. The values are the same in the handler, the tasks and
 * the teardown.
 */
export class RequestContext {
  private constructor(
    /**
     * The request's identifier. Two requests never have the same identifier. The host writes the identifier into every
     * event about the request.
     */
    readonly requestId: string,
    /** The request's position in a distributed trace. */
    readonly traceContext: TraceContext,
  ) {}

  /** Returns the current request. Returns undefined if the instance serves no request. */
  static current(): RequestContext | undefined {
    const request = context.request();
    if (request === null) return undefined;
    const { traceparent, tracestate } = request.traceContext;
    return new RequestContext(request.requestId, { traceparent, tracestate: tracestate ?? undefined });
  }
}

/** Says how the response to the request ended. If the host did not send a complete response, `reason` says why. */
export type ResponseOutcome =
  | { readonly kind: "delivered" | "client-gone" }
  | { readonly kind: "response-failed" | "handler-failed"; readonly reason: string };

/** The context of the running task. */
export class TaskContext {
  private constructor(
    /** The task's number within its request. The numbers are 1, 2, 3 and so on, in the order of registration. */
    readonly id: number,
    /** The task's name. */
    readonly name: string,
    /** The number of the running attempt. The first attempt has the number 1. */
    readonly attempt: number,
    /** Says how the response to the request ended. */
    readonly outcome: ResponseOutcome,
  ) {}

  /**
   * Returns the context of the running task. Returns undefined in a handler or a teardown.
   *
   * All code of the instance gets the same value. If a handler has started asynchronous code that is still running when
   * a task runs, for example the promise of `ctx.waitUntil`, this code also gets the context of the running task.
   */
  static current(): TaskContext | undefined {
    return current;
  }

  /**
   * A key that is the same for every attempt of this task. Two tasks never have the same key. Send the key with a
   * request to another service, so that the service can ignore the request of a second attempt.
   */
  get idempotencyKey(): string {
    // The host always returns a key here, because a task runs only while the instance serves a request.
    return context.idempotencyKey(this.id) ?? "";
  }

  /** The identifier of the task's request. */
  get requestId(): string {
    return RequestContext.current()?.requestId ?? "";
  }

  /** Runs `body`. While `body` runs, `TaskContext.current()` returns the context of the task `asked`. */
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

/** A task, in the form in which the host passes it to `runner.run`. */
export interface HostTask {
  id: number;
  name: string;
  args: Uint8Array;
  attempt: number;
  outcome: HostOutcome;
}

/** The outcome of a response, in the form in which the host passes it. */
export type HostOutcome = { tag: ResponseOutcome["kind"]; val?: string };

/** Converts the host's outcome to a `ResponseOutcome`. */
export function outcomeOf({ tag, val }: HostOutcome): ResponseOutcome {
  return tag === "delivered" || tag === "client-gone" ? { kind: tag } : { kind: tag, reason: val ?? "" };
}
