//! The applications of Starlette's `tests/test_background.py`.

use std::cell::Cell;

use axum::Router;
use axum::routing::get;
use epilogue_sdk::{BackgroundTask, BackgroundTasks, EnqueueError};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use tower_service::Service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    Router::new()
        .route("/async", get(async || (BackgroundTask::new(async_task, ()), "task initiated")))
        .route("/sync", get(async || (BackgroundTask::new(sync_task, ()), "task initiated")))
        .route("/multiple", get(multiple))
        .route("/failure", get(failure))
        .call(request)
        .await
}

async fn multiple(tasks: BackgroundTasks) -> Result<&'static str, EnqueueError> {
    tasks.add_task(increment, (1,))?;
    tasks.add_task(increment, (2,))?;
    tasks.add_task(increment, (3,))?;
    Ok("tasks initiated")
}

async fn failure(tasks: BackgroundTasks) -> Result<&'static str, EnqueueError> {
    tasks.add_task(increment_or_fail, ())?;
    tasks.add_task(increment_or_fail, ())?;
    Ok("tasks initiated")
}

#[epilogue_sdk::task]
async fn async_task() {
    println!("task complete");
}

#[epilogue_sdk::task]
fn sync_task() {
    println!("task complete");
}

#[epilogue_sdk::task]
fn increment(amount: u32) {
    count(amount);
}

#[epilogue_sdk::task]
fn increment_or_fail() -> Result<(), &'static str> {
    if count(1) == 1 { Err("task failed") } else { Ok(()) }
}

/// Tasks see the memory of the instance that handled the request.
fn count(amount: u32) -> u32 {
    thread_local!(static COUNTER: Cell<u32> = const { Cell::new(0) });
    let counter = COUNTER.get() + amount;
    COUNTER.set(counter);
    println!("counter {counter}");
    counter
}
