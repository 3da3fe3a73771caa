//! Answers at once, and does the rest after the response.
//!
//! `spin_sdk::time::sleep` waits without blocking. `spin_sdk::http::get`, `post` and `send` call
//! other servers: list these in spin.toml, under `allowed_outbound_hosts`.

use std::sync::LazyLock;

use axum::extract::{Path, Query};
use axum::routing::post;
use axum::{Json, Router};
use epilogue_sdk::{BackgroundTask, BackgroundTasks, EnqueueError, Scope, TaskId, TaskOptions};
use serde::{Deserialize, Serialize};
use spin_sdk::http::{IntoResponse, Request};
use tower_service::Service;

/// Each instance creates the router once. All of its requests share it.
static APP: LazyLock<Router> = LazyLock::new(|| {
    Router::new()
        .route("/send-notification/{email}", post(send_notification))
        .route("/orders", post(place_order))
        .route("/callback", post(callback))
});

#[spin_sdk::http_service]
async fn handle(request: Request) -> impl IntoResponse {
    APP.clone().call(request).await
}

// ANCHOR: first
async fn send_notification(
    Path(email): Path<String>,
    tasks: BackgroundTasks,
) -> Result<&'static str, EnqueueError> {
    tasks.add_task(write_log, (format!("message to {email}"),))?;
    Ok("Notification sent\n")
}

/// Runs after the response has been sent.
#[epilogue_sdk::task]
async fn write_log(message: String) -> anyhow::Result<()> {
    println!("{message}");
    Ok(())
}
// ANCHOR_END: first

#[derive(Clone, Deserialize, Serialize)]
struct Order {
    id: u64,
    email: String,
}

#[derive(Deserialize)]
struct Search {
    callback: Option<String>,
}

async fn place_order(
    Query(search): Query<Search>,
    tasks: BackgroundTasks,
    Json(order): Json<Order>,
) -> Result<Json<Order>, EnqueueError> {
    let id = order.id;
    // Runs after the request's last task in this process.
    Scope::current().on_teardown(async move { println!("order {id}: closed") });
    add_receipt(order.clone())?;
    if let Some(url) = search.callback {
        let options = TaskOptions::new().max_attempts(5);
        tasks.add_task_with(call_back, (url, order.clone()), options)?;
    }
    Ok(Json(order))
}

// ANCHOR: retry
/// Calls another server. If an attempt fails, the host waits at most 1 s before the next one, then
/// 2 s, 4 s, and so on, up to 1 minute.
#[epilogue_sdk::task(backoff = "1s..1m")]
async fn call_back(url: String, order: Order) -> anyhow::Result<()> {
    let response = spin_sdk::http::post(url, serde_json::to_vec(&order)?).await?;
    let status = response.status();
    anyhow::ensure!(status.is_success(), "the server answered {status}");
    Ok(())
}
// ANCHOR_END: retry

/// Stands for the other server, so that the project can be tried alone.
async fn callback(order: String) {
    println!("called back: {order}");
}

// ANCHOR: durable
/// Adds the receipt as a durable task. The host stores it before the response, so it survives a
/// crash.
fn add_receipt(order: Order) -> Result<TaskId, EnqueueError> {
    let receipt = BackgroundTask::new(send_receipt, (order,));
    let options = TaskOptions::new().durable(true);
    match receipt.clone().options(options).enqueue() {
        // The host has no task engine, as on Spin. The task then runs in this process.
        Err(EnqueueError::Unsupported(_)) => receipt.enqueue(),
        added => added,
    }
}

#[epilogue_sdk::task]
fn send_receipt(order: Order) {
    println!("order {}: receipt to {}", order.id, order.email);
}
// ANCHOR_END: durable
