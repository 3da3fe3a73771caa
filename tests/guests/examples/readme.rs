//! Exactly the guest at the top of the README.

use std::sync::LazyLock;

use axum::{Router, extract::Path, routing::post};
use epilogue_sdk::{BackgroundTasks, EnqueueError};
use spin_sdk::http::{IntoResponse, Request};
use tower_service::Service;

#[epilogue_sdk::task]
async fn write_log(message: String) -> anyhow::Result<()> {
    println!("{message}");
    Ok(())
}

async fn send_notification(Path(email): Path<String>, tasks: BackgroundTasks) -> Result<&'static str, EnqueueError> {
    tasks.add_task(write_log, (format!("message to {email}"),))?; // the compiler checks the types
    Ok("Notification sent")
}

static APP: LazyLock<Router> =
    LazyLock::new(|| Router::new().route("/send-notification/{email}", post(send_notification)));

#[spin_sdk::http_service]
async fn handle(request: Request) -> impl IntoResponse {
    APP.clone().call(request).await
}
