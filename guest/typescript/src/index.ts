/**
 * Background tasks after the response, for apps with a `fetch` handler that run as WebAssembly components. A handler
 * adds tasks. The host sends the whole response, and then runs the tasks in order.
 *
 * @module
 */

import "./web/index.js";

export { BackgroundTasks, type DeferOptions, onTeardown, type TaskId } from "./background.js";
export { RequestContext, type ResponseOutcome, TaskContext, type TraceContext } from "./context.js";
export { EnqueueError, type EnqueueErrorReason } from "./error.js";
export type { Json } from "./json.js";
export type { TaskOptions } from "./options.js";
export { type Env, type ExecutionContext, type FetchHandler, serve } from "./serve.js";
export { type AnyTask, type Task, task } from "./task.js";
