//! Answers each request immediately, and runs tasks after the response.
//!
//! `spin_sdk::time::sleep` waits without blocking. `spin_sdk::http::get`, `post` and `send` call
//! other servers. List the other servers in spin.toml, under `allowed_outbound_hosts`.

use std::sync::LazyLock;

use axum::extract::{Path, Query};
use axum::routing::post;
use axum::{Json, Router};
use epilogue_sdk::{BackgroundTask, BackgroundTasks, EnqueueError, Scope, TaskId, TaskOptions};
use serde::{Deserialize, Serialize};
use spin_sdk::http::{IntoResponse, Request};
use tower_service::Service;

/// Each instance creates the router once, for all of its requests.
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

/// The host runs this task after it has sent the response.
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
    // The teardown runs this future after the request's last task.
    Scope::current().on_teardown(async move { println!("order {id}: closed") });
    add_receipt(order.clone())?;
    if let Some(url) = search.callback {
        let options = TaskOptions::new().max_attempts(5);
        tasks.add_task_with(call_back, (url, order.clone()), options)?;
    }
    Ok(Json(order))
}

// ANCHOR: retry
/// Calls another server. If an attempt fails, the host retries the task after at most 1 s, then 2 s,
/// then 4 s, and so on, up to 1 minute.
#[epilogue_sdk::task(backoff = "1s..1m")]
async fn call_back(url: String, order: Order) -> anyhow::Result<()> {
    let response = spin_sdk::http::post(url, serde_json::to_vec(&order)?).await?;
    let status = response.status();
    anyhow::ensure!(status.is_success(), "the server answered {status}");
    Ok(())
}
// ANCHOR_END: retry

/// Receives the request of `call_back`, so that you can try the project without another server.
async fn callback(order: String) {
    println!("called back: {order}");
}

// ANCHOR: durable
/// Adds a durable task that sends the receipt. The host stores the task before it sends the
/// response, so the task survives a crash.
fn add_receipt(order: Order) -> Result<TaskId, EnqueueError> {
    let receipt = BackgroundTask::new(send_receipt, (order,));
    let options = TaskOptions::new().durable(true);
    match receipt.clone().options(options).enqueue() {
        // If the host has no task engine, for example Spin, this adds an ordinary task.
        Err(EnqueueError::Unsupported(_)) => receipt.enqueue(),
        added => added,
    }
}

#[epilogue_sdk::task]
fn send_receipt(order: Order) {
    println!("order {}: receipt to {}", order.id, order.email);
}
// ANCHOR_END: durable
