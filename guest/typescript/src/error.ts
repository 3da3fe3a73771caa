// The reasons why the host or this package refuses a task.

/**
 * The reason why a task is refused. `bad-args` means that this package refuses the task, because JSON would change its
 * arguments. In all other cases, the host refuses the task. The type `enqueue-error` in `wit/types.wit` describes these
 * reasons.
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

/** The error that `addTask`, `addTaskWith` and `defer` throw if the task is refused. A refused task never runs. */
export class EnqueueError extends Error {
  override readonly name = "EnqueueError";
  /** The reason why the task is refused. */
  readonly reason: EnqueueErrorReason;
  /**
   * Whether the client may succeed with the same request later. If true, answer with the status 503 and the header
   * `retry-after`. If false, answer with the status 500.
   */
  readonly isTemporary: boolean;

  constructor(task: string, reason: EnqueueErrorReason, detail: unknown, options?: ErrorOptions) {
    super(`task ${JSON.stringify(task)} was not accepted: ${describe(reason, detail)}`, options);
    this.reason = reason;
    this.isTemporary = reason === "shutting-down" || reason === "backlog-full";
  }

  /**
   * Converts the value that the host throws if it refuses a task to an `EnqueueError`. Returns any other value
   * unchanged.
   */
  static from(task: string, thrown: unknown): unknown {
    const refusal = payload(thrown);
    return refusal === undefined ? thrown : new EnqueueError(task, refusal.tag, refusal.val, { cause: thrown });
  }
}

/**
 * Returns the case of the WIT's `enqueue-error` that a thrown value contains. The value is either the case itself, or
 * an error whose `payload` is the case.
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
