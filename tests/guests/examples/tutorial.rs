//! The first application of FastAPI's tutorial on background tasks. The second, with a dependency, is `guest/notify`.

use axum::extract::Path;
use axum::routing::post;
use axum::{Json, Router};
use epilogue_sdk::{BackgroundTasks, EnqueueError};
use serde_json::{Value, json};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use tower_service::Service;

// ANCHOR: serve
#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    Router::new().route("/send-notification/{email}", post(send_notification)).call(request).await
}
// ANCHOR_END: serve

// ANCHOR: task
#[epilogue_sdk::task]
fn write_notification(email: String, message: String) {
    println!("notification for {email}: {message}");
}
// ANCHOR_END: task

// ANCHOR: handler
async fn send_notification(Path(email): Path<String>, tasks: BackgroundTasks) -> Result<Json<Value>, EnqueueError> {
    tasks.add_task(write_notification, (email, "some notification".into()))?;
    Ok(Json(json!({ "message": "Notification sent in the background" })))
}
// ANCHOR_END: handler
