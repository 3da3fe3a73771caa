//! Tasks that say what they know of their request.

use epilogue_sdk::{BackgroundTasks, TaskContext};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(_request: Request) -> anyhow::Result<impl IntoResponse> {
    let tasks = BackgroundTasks::current();
    tasks.add_task(say, ())?;
    tasks.add_task(say, ())?;
    Ok("enqueued")
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
