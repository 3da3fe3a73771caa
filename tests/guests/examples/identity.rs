//! A handler, tasks and a teardown that print the identity of their request.

use epilogue_sdk::{BackgroundTasks, RequestContext, Scope, TaskContext};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(_request: Request) -> anyhow::Result<impl IntoResponse> {
    let tasks = BackgroundTasks::current();
    tasks.add_task(say, ())?;
    tasks.add_task(say, ())?;
    Scope::current().on_teardown(async { request().map(|request| println!("{request} torn-down")) });
    request()
}

/// The request's id and its trace's parent, separated by a space.
fn request() -> anyhow::Result<String> {
    let request = RequestContext::current().ok_or_else(|| anyhow::anyhow!("there should be a request"))?;
    Ok(format!("{} {}", request.id(), request.trace_context().traceparent))
}

/// Prints the request's id, the trace's parent and state, and the key, separated by spaces.
#[epilogue_sdk::task(name = "say")]
async fn say() -> anyhow::Result<()> {
    let context = TaskContext::current().ok_or_else(|| anyhow::anyhow!("a task should have a context"))?;
    let trace = context.trace_context();
    let state = trace.tracestate.as_deref().unwrap_or("none");
    println!("{} {} {state} {}", context.request_id(), trace.traceparent, context.idempotency_key());
    Ok(())
}
