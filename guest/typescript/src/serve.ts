// Makes the component's exports from a fetch handler.

import environment from "wasi:cli/environment@0.3.0";
import type { Request as HostRequest, Response as HostResponse } from "wasi:http/types@0.3.0";
import { alive } from "./alive.js";
import { BackgroundTasks } from "./background.js";
import { answer, receive } from "./http.js";
import { describe, runner } from "./runner.js";

/** The variables of the component's environment. */
export type Env = Readonly<Record<string, string>>;

/** The third argument of a fetch handler, as in Cloudflare Workers. */
export interface ExecutionContext {
  /**
   * Adds a task that waits for the promise. The code behind the promise is already running. The task ends when the
   * promise is settled. The host records the task as `succeeded` or `failed`, with the name `waitUntil`.
   *
   * @throws {EnqueueError} If the task is refused.
   */
  waitUntil(promise: Promise<unknown>): void;
  /** Does nothing, because no other server could handle the request. */
  passThroughOnException(): void;
  /** An empty object, for libraries that expect this property. */
  readonly props: Record<string, never>;
}

/** An application in the form of Cloudflare Workers and Hono. */
export interface FetchHandler {
  /** Answers a request. If this function throws an error, the client gets a response with the status 500. */
  fetch(request: Request, env: Env, ctx: ExecutionContext): Response | Promise<Response>;
}

const context: ExecutionContext = {
  waitUntil(promise) {
    // The task handles a rejection later. Until then, the rejection must not count as unhandled.
    promise.catch(() => {});
    BackgroundTasks.defer(() => promise, { name: "waitUntil" });
  },
  passThroughOnException() {},
  props: {},
};

/**
 * Makes the exports of a component that serves this application. `epilogue-build` calls this function with the module's
 * default export.
 */
export function serve(app: FetchHandler): { handler: unknown; runner: unknown } {
  if (typeof app?.fetch !== "function") throw new TypeError("the default export has no method `fetch`");
  const handler = {
    async handle(incoming: HostRequest): Promise<HostResponse> {
      const env: Env = Object.fromEntries(environment.getEnvironment());
      try {
        const request = receive(incoming);
        return answer(request, await alive(Promise.resolve(app.fetch(request, env, context))));
      } catch (error) {
        console.error(error);
        throw { tag: "internal-error", val: describe(error) };
      }
    },
  };
  return { handler, runner };
}
