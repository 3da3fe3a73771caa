//! Enqueues the tasks in its query, in that order: `/?run=ok,fail,panic,…`. A POST gets its body back while it arrives.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Query;
use axum::routing::get;
use epilogue_sdk::{BackgroundTasks, EnqueueError, FailurePolicy, RunWhen, Scope, TaskContext, TaskOptions};
use serde::Deserialize;
use spin_sdk::http::{IntoResponse, Request, StatusCode};
use spin_sdk::http_service;
use tower_service::Service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    Router::new().route("/", get(enqueue).post(echo)).call(request).await
}

#[derive(Deserialize)]
struct Wanted {
    /// The tasks, separated by commas.
    run: String,
    /// Whether a failing task stops the rest; the operator's setting if missing.
    on_failure: Option<String>,
    /// The tasks' `run_when`.
    when: Option<String>,
    /// How long each task may take, in milliseconds; the operator's setting if missing.
    within: Option<u64>,
    /// How long each task waits after a failed attempt, in milliseconds.
    backoff: Option<u64>,
    /// The response's status.
    status: Option<u16>,
    /// Whether the teardown adds a task.
    #[serde(default)]
    report: bool,
}

async fn echo(wanted: Query<Wanted>, tasks: BackgroundTasks, body: Body) -> Result<Body, EnqueueError> {
    enqueue(wanted, tasks).await?;
    Ok(body)
}

async fn enqueue(Query(wanted): Query<Wanted>, tasks: BackgroundTasks) -> Result<(StatusCode, String), EnqueueError> {
    match wanted.on_failure.as_deref() {
        Some("stop") => tasks.on_failure(FailurePolicy::Stop),
        Some("continue") => tasks.on_failure(FailurePolicy::Continue),
        _ => {}
    }
    let mut options = TaskOptions::new().run_when(match wanted.when.as_deref() {
        Some("failure") => RunWhen::Failure,
        Some("always") => RunWhen::Always,
        _ => RunWhen::Success,
    });
    if let Some(within) = wanted.within {
        options = options.timeout(Duration::from_millis(within));
    }
    if let Some(backoff) = wanted.backoff.map(Duration::from_millis) {
        options = options.backoff(backoff, backoff);
    }
    if wanted.report {
        Scope::current().on_teardown(async move { tasks.add_task(ok, ()).map(drop) });
    }
    let mut ids = Vec::new();
    for name in wanted.run.split(',').filter(|name| !name.is_empty()) {
        let id = match name {
            "ok" => tasks.add_task_with(ok, (), options),
            "sync" => tasks.add_task_with(sync, (), options),
            "slow" => tasks.add_task_with(slow, (), options),
            "fail" => tasks.add_task_with(fail, (), options),
            "again" => tasks.add_task_with(fail, (), options.max_attempts(u32::MAX)),
            "panic" => tasks.add_task_with(panics, (), options),
            "sleep" => tasks.add_task_with(sleep, (), options),
            "block" => tasks.add_task_with(block, (), options),
            "spin" => tasks.add_task_with(spin, (), options),
            "flaky" => tasks.add_task_with(flaky, (), options.max_attempts(3)),
            "shaky" => tasks.add_task_with(shaky, (), options.max_attempts(2)),
            "nested" => tasks.add_task_with(nested, (), options),
            "defers" => tasks.add_task_with(defers, (), options),
            "endless" => tasks.add_task_with(endless, (), options),
            "closure" => tasks.defer_with("closure", options, async { println!("closure") }),
            other => unreachable!("there is no task {other}"),
        };
        ids.push(id?.to_string());
    }
    let status = wanted.status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::OK);
    Ok((status, ids.join(",")))
}

#[epilogue_sdk::task(name = "ok")]
async fn ok() {
    println!("ok");
}

#[epilogue_sdk::task(name = "sync")]
fn sync() {
    println!("sync");
}

/// Waits a moment, so that other tasks could begin before it ends.
#[epilogue_sdk::task(name = "slow")]
async fn slow() {
    println!("slow begins");
    spin_sdk::time::sleep(Duration::from_millis(1)).await;
    println!("slow ends");
}

#[epilogue_sdk::task(name = "fail")]
async fn fail() -> anyhow::Result<()> {
    println!("fail");
    Err(anyhow::anyhow!("no paper").context("cannot print"))
}

#[epilogue_sdk::task(name = "panic")]
async fn panics() {
    println!("panic");
    panic!("on purpose");
}

/// Waits without blocking its instance.
#[epilogue_sdk::task(name = "sleep")]
async fn sleep() {
    println!("sleep");
    spin_sdk::time::sleep(Duration::from_secs(3600)).await;
}

/// Waits and blocks its instance.
#[epilogue_sdk::task(name = "block")]
fn block() {
    println!("block");
    std::thread::sleep(Duration::from_secs(3600));
}

/// Computes for ever.
#[epilogue_sdk::task(name = "spin")]
fn spin() {
    println!("spin");
    loop {
        std::hint::spin_loop();
    }
}

/// Succeeds at the third attempt.
#[epilogue_sdk::task(name = "flaky")]
async fn flaky() -> anyhow::Result<()> {
    let attempt = TaskContext::current().map_or(0, |context| context.attempt());
    println!("flaky {attempt}");
    anyhow::ensure!(attempt == 3, "not yet");
    Ok(())
}

/// Traps at the first attempt.
#[epilogue_sdk::task(name = "shaky")]
async fn shaky() {
    assert!(TaskContext::current().is_some_and(|context| context.attempt() == 2), "not yet");
}

/// Adds a task while it runs.
#[epilogue_sdk::task(name = "nested")]
async fn nested() -> Result<(), EnqueueError> {
    println!("nested");
    BackgroundTasks::current().add_task(ok, ())?;
    Ok(())
}

/// Adds a closure while it runs.
#[epilogue_sdk::task(name = "defers")]
async fn defers() -> Result<(), EnqueueError> {
    BackgroundTasks::current().defer(async { println!("closure") })?;
    Ok(())
}

/// Adds itself again, until the host refuses.
#[epilogue_sdk::task(name = "endless")]
async fn endless() -> Result<(), EnqueueError> {
    BackgroundTasks::current().add_task(endless, ())?;
    Ok(())
}
