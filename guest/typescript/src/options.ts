// The options of a task, and their conversion for the host.

import type { HostTaskOptions } from "epilogue:background/queue@0.1.0";

/** The options of one task, which say when, how often and how long the task runs. All times are in milliseconds. */
export interface TaskOptions {
  /**
   * When the task runs. `success`: after a response of any status. `failure`: after an exception that the handler did
   * not catch. `always`: in both cases. Default: `success`.
   */
  runWhen?: "success" | "failure" | "always";
  /**
   * The time limit for one attempt. If an attempt takes longer, the host stops the attempt, and the attempt ends as
   * `timed-out`. The default is the operator's setting `task-timeout`, which is 30 s. A longer timeout than
   * `task-timeout` has no effect.
   */
  timeout?: number;
  /**
   * The largest number of attempts. Default: 1. For a durable task, the default is the operator's setting
   * `durable-attempts`, which is 10 by default.
   */
  maxAttempts?: number;
  /**
   * The pauses between attempts. The pause after the first failed attempt is `first`. Each further pause is twice as
   * long as the previous pause, up to `max`. Default: 100 ms to 10 s. For a durable task, the operator's settings
   * `durable-backoff` (15 s) and `durable-max-backoff` (1 h) are the default.
   */
  backoff?: { first: number; max: number };
  /** Whether the host cancels the task if the client leaves before the response is complete. Default: false. */
  cancelOnDisconnect?: boolean;
  /**
   * Whether the host stores the task in the task engine, so that the task survives a crash of the host. A durable task
   * runs at least once. If the host has no task engine, it refuses the task. Default: false, unless the operator makes
   * all tasks durable.
   */
  durable?: boolean;
}

/**
 * Converts the options to the form that the host expects. `instanceBound` says that the task can only run in this
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
 * Converts milliseconds to nanoseconds. The result is at most 104 days, because a JavaScript number cannot hold a
 * larger number of nanoseconds exactly.
 */
export function nanoseconds(milliseconds: number): number {
  return Math.min(Math.max(0, Math.round(milliseconds * 1_000_000)), Number.MAX_SAFE_INTEGER);
}
