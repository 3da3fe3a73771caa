//! `bench.rs` without tasks and without Epilogue's SDK. A stock host can run this guest without changes.

use std::sync::LazyLock;

use axum::Router;
use axum::body::Body;
use axum::extract::Query;
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use tower_service::Service;

static APP: LazyLock<Router> = LazyLock::new(|| Router::new().route("/", get(answer)));

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    APP.clone().call(request).await
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Wanted {
    body: usize,
}

async fn answer(Query(wanted): Query<Wanted>) -> Response {
    match wanted.body {
        0 => Response::new(Body::from("ok")),
        size => test_guests::streamed(size),
    }
}
