// Makes the component's exports from a fetch handler.

import environment from "wasi:cli/environment@0.3.0";
import type { Request as HostRequest, Response as HostResponse } from "wasi:http/types@0.3.0";
import { alive } from "./alive.js";
import { BackgroundTasks } from "./background.js";
import { answer, receive } from "./http.js";
import { describe, runner } from "./runner.js";

/** The component's environment variables. */
export type Env = Readonly<Record<string, string>>;

/** The third argument of a fetch handler, as in Cloudflare Workers. */
export interface ExecutionContext {
  /**
   * Adds a task with the name `waitUntil`, which waits for the promise. The code that settles the promise is already
   * running. When the promise is settled, the host records the task as `succeeded` or `failed`.
   *
   * @throws {EnqueueError} If the task is refused.
   */
  waitUntil(promise: Promise<unknown>): void;
  /** Does nothing. In Cloudflare Workers, this function passes the request to another server if the Worker fails. */
  passThroughOnException(): void;
  /** An empty object, for libraries that expect this property. */
  readonly props: Record<string, never>;
}

/** An app with a method `fetch`, as in Cloudflare Workers and Hono. */
export interface FetchHandler {
  /** Answers a request. If this function throws an error, the client gets a response with the status 500. */
  fetch(request: Request, env: Env, ctx: ExecutionContext): Response | Promise<Response>;
}

const context: ExecutionContext = {
  waitUntil(promise) {
    // If the promise is rejected, the task handles the rejection later. Until then, this line prevents an error about
    // an unhandled rejection.
    promise.catch(() => {});
    BackgroundTasks.defer(() => promise, { name: "waitUntil" });
  },
  passThroughOnException() {},
  props: {},
};

/**
 * Makes the exports of a component that serves this app. `epilogue-build` generates a call of this function with the
 * default export of the app's module.
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
