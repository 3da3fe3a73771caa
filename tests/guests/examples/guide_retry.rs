//! Calls an API that may be down for a moment, until it answers: `POST /orders/ID`, and `POST /durable-orders/ID` for a
//! durable task.

use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::post;
use bytes::Bytes;
use epilogue_sdk::{BackgroundTasks, EnqueueError, TaskContext, TaskOptions};
use spin_sdk::http::{FullBody, IntoResponse, Request};
use spin_sdk::http_service;
use tower_service::Service;

static APP: LazyLock<Router> = LazyLock::new(|| {
    Router::new().route("/orders/{id}", post(order)).route("/durable-orders/{id}", post(durable_order))
});

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    APP.clone().call(request).await
}

// ANCHOR: handler
async fn order(Path(id): Path<u64>, tasks: BackgroundTasks) -> Result<StatusCode, EnqueueError> {
    let options = TaskOptions::new()
        .max_attempts(5)
        .backoff(Duration::from_millis(200), Duration::from_secs(10))
        .timeout(Duration::from_secs(5));
    tasks.add_task_with(charge, (id,), options)?;
    Ok(StatusCode::ACCEPTED)
}
// ANCHOR_END: handler

// ANCHOR: task
#[epilogue_sdk::task(name = "charge")]
async fn charge(order: u64) -> anyhow::Result<()> {
    pay(order).await
}

async fn pay(order: u64) -> anyhow::Result<()> {
    let context = TaskContext::current().context("this is a task")?;
    let request = axum::http::Request::post(std::env::var("PAYMENT_API")?)
        .header("idempotency-key", context.idempotency_key())
        .body(FullBody::new(Bytes::from(format!("order={order}"))))?;
    let status = spin_sdk::http::send(request).await?.status();
    if status.is_client_error() {
        // The API refuses this order, and will refuse it next time: another attempt is no use.
        println!("order {order} was refused: {status}");
        return Ok(());
    }
    ensure!(status.is_success(), "the payment API answered {status}");
    println!("order {order} is paid, at attempt {}", context.attempt());
    Ok(())
}
// ANCHOR_END: task

// ANCHOR: durable
async fn durable_order(Path(id): Path<u64>, tasks: BackgroundTasks) -> Result<StatusCode, EnqueueError> {
    tasks.add_task(charge_for_certain, (id,))?;
    Ok(StatusCode::ACCEPTED)
}

#[epilogue_sdk::task(name = "charge-for-certain", durable, backoff = "10s..30m")]
async fn charge_for_certain(order: u64) -> anyhow::Result<()> {
    pay(order).await
}
// ANCHOR_END: durable
