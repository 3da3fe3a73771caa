// The options of a task, and how the host wants them.

import type { HostTaskOptions } from "epilogue:background/queue@0.1.0";

/** When a task runs, how often, and for how long. All times are in milliseconds. */
export interface TaskOptions {
  /**
   * The results of the handler after which the task runs. `success` is a response of any status, `failure` is an exception
   * that the handler did not catch. Default: `success`.
   */
  runWhen?: "success" | "failure" | "always";
  /**
   * The timeout of one attempt. If an attempt takes longer, the host stops it and records it as `timed-out`. The
   * operator's setting `task-timeout` is the default and the upper bound. Its own default is 30 s.
   */
  timeout?: number;
  /**
   * The largest number of attempts. Default: 1. For a durable task, the operator's setting decides, which is 10 by
   * default.
   */
  maxAttempts?: number;
  /**
   * The waits between attempts: `first` after the first failed attempt, then twice as long each time, up to `max`.
   * Default: 100 ms to 10 s. For a durable task, the operator's setting decides.
   */
  backoff?: { first: number; max: number };
  /** Whether the host cancels the task if the client leaves before the response is complete. Default: false. */
  cancelOnDisconnect?: boolean;
  /**
   * Whether the host stores the task, so that the task survives the host. The task then runs at least once. This option
   * needs a task engine. Default: false, unless the operator makes all tasks durable.
   */
  durable?: boolean;
}

/** The options as the host takes them. A task that is bound to this instance cannot run in another one. */
export function forHost(options: TaskOptions, instanceBound: boolean): HostTaskOptions {
  const { runWhen, timeout, maxAttempts, backoff, cancelOnDisconnect, durable } = options;
  return {
    runWhen: runWhen ?? "success",
    timeout: timeout === undefined ? null : nanoseconds(timeout),
    maxAttempts: maxAttempts ?? null,
    backoff: backoff === undefined ? null : { first: nanoseconds(backoff.first), max: nanoseconds(backoff.max) },
    cancelOnDisconnect: cancelOnDisconnect ?? false,
    instanceBound,
    durable: durable ?? false,
  };
}

/** A time for the host. Times of more than 104 days count as 104 days, the most that a JavaScript number holds exactly. */
export function nanoseconds(milliseconds: number): number {
  return Math.min(Math.max(0, Math.round(milliseconds * 1_000_000)), Number.MAX_SAFE_INTEGER);
}
