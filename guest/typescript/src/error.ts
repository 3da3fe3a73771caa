// The reasons why a task is refused.

/**
 * The reason why a task is refused. The reason `bad-args` comes from this package. All other reasons come from the
 * host, and `wit/types.wit` describes them at `enqueue-error`.
 */
export type EnqueueErrorReason =
  | "args-too-large"
  | "backlog-full"
  | "bad-args"
  | "closed"
  | "no-runner"
  | "other"
  | "queue-full"
  | "request-args-too-large"
  | "shutting-down"
  | "too-many-generations"
  | "unsupported";

/** The error of a task that is refused. A refused task never runs. */
export class EnqueueError extends Error {
  override readonly name = "EnqueueError";
  /** The reason why the task is refused. */
  readonly reason: EnqueueErrorReason;
  /**
   * Whether the same request may succeed later. If true, answer with the status 503 and `retry-after`. If false, answer
   * with the status 500.
   */
  readonly isTemporary: boolean;

  constructor(task: string, reason: EnqueueErrorReason, detail: unknown, options?: ErrorOptions) {
    super(`task ${JSON.stringify(task)} was not accepted: ${describe(reason, detail)}`, options);
    this.reason = reason;
    this.isTemporary = reason === "shutting-down" || reason === "backlog-full";
  }

  /** Converts a refusal that the host threw to an `EnqueueError`. Returns any other thrown value unchanged. */
  static from(task: string, thrown: unknown): unknown {
    const refusal = payload(thrown);
    return refusal === undefined ? thrown : new EnqueueError(task, refusal.tag, refusal.val, { cause: thrown });
  }
}

/**
 * Returns the case of the WIT's `enqueue-error` in a thrown value. The value is the case itself, or an error with the
 * case as its payload.
 */
function payload(thrown: unknown): { tag: EnqueueErrorReason; val?: unknown } | undefined {
  const carried = thrown instanceof Error && "payload" in thrown ? thrown.payload : thrown;
  const isCase = typeof carried === "object" && carried !== null && "tag" in carried;
  return isCase ? (carried as { tag: EnqueueErrorReason; val?: unknown }) : undefined;
}

function describe(reason: EnqueueErrorReason, detail: unknown): string {
  switch (reason) {
    case "args-too-large":
      return `its arguments are longer than ${detail} bytes`;
    case "backlog-full":
      return `the durable tasks of ${detail} requests are waiting`;
    case "closed":
      return "there is no open request";
    case "no-runner":
      return "the component does not export epilogue:background/runner";
    case "queue-full":
      return `the request already has ${detail} tasks`;
    case "request-args-too-large":
      return `the arguments of the request's tasks are longer than ${detail} bytes together`;
    case "shutting-down":
      return "the host is shutting down";
    case "too-many-generations":
      return `durable tasks have added durable tasks ${detail} times in a row`;
    default:
      return String(detail);
  }
}
