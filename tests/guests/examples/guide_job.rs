//! A job that cron starts with a request: `POST /jobs/clean-up`, with a token.

use std::pin::pin;
use std::sync::LazyLock;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use epilogue_sdk::{BackgroundTasks, EnqueueError, stopping};
use futures::future::{Either, select};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use tower_service::Service;

static APP: LazyLock<Router> = LazyLock::new(|| Router::new().route("/jobs/clean-up", post(start_clean_up)));

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    APP.clone().call(request).await
}

// ANCHOR: job
async fn start_clean_up(headers: HeaderMap, tasks: BackgroundTasks) -> Result<StatusCode, EnqueueError> {
    let token = std::env::var("JOB_TOKEN").unwrap_or_default();
    let given = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    if token.is_empty() || given != Some(&token) {
        return Ok(StatusCode::FORBIDDEN);
    }
    tasks.add_task(clean_up, ())?;
    Ok(StatusCode::ACCEPTED)
}
// ANCHOR_END: job

// ANCHOR: stopping
#[epilogue_sdk::task(name = "clean-up")]
async fn clean_up() -> Result<(), String> {
    for step in 1..=3 {
        if let Either::Right((stop, _)) = select(pin!(sweep(step)), pin!(stopping())).await {
            return Err(format!("stopped at step {step} ({:?}), with {} s left", stop.reason, stop.grace.as_secs()));
        }
        println!("step {step} is done");
    }
    Ok(())
}
// ANCHOR_END: stopping

/// Asks another service to do a part of the work.
async fn sweep(step: u32) {
    let service = std::env::var("SWEEPER").unwrap_or_default();
    if let Err(error) = spin_sdk::http::get(format!("{service}/{step}")).await {
        eprintln!("the sweeper did not answer: {error}");
    }
}
