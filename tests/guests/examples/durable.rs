//! Wants a task to be stored, and makes do with an ordinary one where the host has no store.

use epilogue_sdk::{BackgroundTasks, EnqueueError, TaskOptions};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(_: Request) -> impl IntoResponse {
    let tasks = BackgroundTasks::current();
    match tasks.add_task_with(bill, (), TaskOptions::new().durable(true)) {
        Err(EnqueueError::Unsupported(reason)) => tasks.add_task(bill, ()).map(|_| reason),
        other => other.map(|_| "it is stored".to_owned()),
    }
    .map_err(|error| error.to_string())
}

#[epilogue_sdk::task(name = "bill")]
fn bill() {}
