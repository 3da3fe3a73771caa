// The options of a task, and their conversion for the host.

import type { HostTaskOptions } from "epilogue:background/queue@0.1.0";

/** The options of one task, which say when, how often and how long the task runs. All times are in milliseconds. */
export interface TaskOptions {
  /**
   * Says after which results of the handler the task runs. `success` means a response of any status. `failure` means an
   * exception that the handler did not catch. Default: `success`.
   */
  runWhen?: "success" | "failure" | "always";
  /**
   * The timeout of one attempt. If an attempt takes longer, the host stops the attempt, and the attempt ends as
   * `timed-out`. The operator's setting `task-timeout` is the default and the upper bound. `task-timeout` is 30 s by
   * default.
   */
  timeout?: number;
  /**
   * The largest number of attempts. Default: 1. For a durable task, the default is the operator's setting
   * `durable-attempts`, which is 10 by default.
   */
  maxAttempts?: number;
  /**
   * The waits between attempts. The wait after the first failed attempt is `first`. Each further wait is twice as long
   * as the wait before it, up to `max`. Default: 100 ms to 10 s. For a durable task, the default is the operator's
   * settings `durable-backoff` and `durable-max-backoff`.
   */
  backoff?: { first: number; max: number };
  /** Whether the host cancels the task if the client leaves before the response is complete. Default: false. */
  cancelOnDisconnect?: boolean;
  /**
   * Whether the host stores the task in the task engine, where the task survives a crash of the host. A durable task
   * runs at least once. This option needs a task engine. Default: false, unless the operator makes all tasks durable.
   */
  durable?: boolean;
}

/**
 * Converts the options to the form that the host expects. If `instanceBound` is true, the task cannot run in another
 * instance.
 */
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

/**
 * Converts milliseconds to nanoseconds. A time above 104 days becomes 104 days, because a JavaScript number holds no
 * longer time exactly.
 */
export function nanoseconds(milliseconds: number): number {
  return Math.min(Math.max(0, Math.round(milliseconds * 1_000_000)), Number.MAX_SAFE_INTEGER);
}
