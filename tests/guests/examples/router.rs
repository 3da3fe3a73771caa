//! An axum router that reads and returns JSON. A task welcomes each user after the response.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use epilogue_sdk::{BackgroundTasks, EnqueueError};
use serde::{Deserialize, Serialize};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use tower_service::Service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    Router::new()
        .route("/", get(async || "the users"))
        .route("/users", post(create))
        .route("/users/{id}", get(show))
        .call(request)
        .await
}

#[derive(Deserialize)]
struct NewUser {
    name: String,
}

#[derive(Serialize)]
struct User {
    id: u64,
    name: String,
}

async fn create(tasks: BackgroundTasks, Json(new): Json<NewUser>) -> Result<(StatusCode, Json<User>), EnqueueError> {
    tasks.add_task(welcome, (7, new.name.clone()))?;
    Ok((StatusCode::CREATED, Json(User { id: 7, name: new.name })))
}

async fn show(Path(id): Path<u64>) -> Json<User> {
    Json(User { id, name: format!("user {id}") })
}

#[epilogue_sdk::task]
fn welcome(id: u64, name: String) {
    println!("welcome, {name}, you are number {id}");
}
