//! Answers at once, and does the rest after the answer.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::routing::post;
use epilogue_sdk::{BackgroundTasks, EnqueueError};
use spin_sdk::http::{IntoResponse, Request};
use tower_service::Service;

/// Made once by each instance: the requests that it serves share what is in it.
static APP: LazyLock<Router> = LazyLock::new(|| {
    Router::new().route("/send-notification/{email}", post(send_notification))
});

#[spin_sdk::http_service]
async fn handle(request: Request) -> impl IntoResponse {
    APP.clone().call(request).await
}

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
