//! The example of FastAPI's tutorial on background tasks, as a WASI HTTP component.
//!
//! For `POST /send-notification/{email}?q=…`, the handler answers without waiting for the tasks. After the response,
//! each task prints one line. The tasks run in the order in which they were added. After the last task, the request's
//! session closes.

use std::convert::Infallible;
use std::sync::LazyLock;

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, RequestPartsExt, Router};
use epilogue_sdk::{BackgroundTasks, EnqueueError, Scope};
use serde::Deserialize;
use serde_json::{Value, json};
use spin_sdk::http::Request;
use spin_sdk::http_service;
use tower_service::Service;

/// The application's routes. Each instance creates the router once, for all of its requests.
static APP: LazyLock<Router> =
    LazyLock::new(|| Router::new().route("/", get(help)).route("/send-notification/{email}", post(send_notification)));

#[http_service]
async fn handle(request: Request) -> impl spin_sdk::http::IntoResponse {
    APP.clone().call(request).await
}

async fn help() -> &'static str {
    "POST /send-notification/{email}?q=… sends a notification. The answer comes first; what is logged about it, \
     and about the query if there is one, comes after.\n"
}

/// A task that prints a line. The host runs the task after the response.
#[epilogue_sdk::task]
fn write_log(message: String) {
    println!("{message}");
}

// ANCHOR: handler
async fn send_notification(
    Path(email): Path<String>,
    _query: LoggedQuery,
    _session: Session,
    tasks: BackgroundTasks,
) -> Result<Json<Value>, EnqueueError> {
    tasks.add_task(write_log, (format!("message to {email}"),))?;
    Ok(Json(json!({ "message": "Message sent" })))
}
// ANCHOR_END: handler

// ANCHOR: query
/// A dependency that adds a task to the same queue as the handler.
struct LoggedQuery;

#[derive(Deserialize)]
struct Search {
    q: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for LoggedQuery {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let (Query(search), tasks) = parts.extract::<(Query<Search>, BackgroundTasks)>().await?;
        if let Some(q) = search.q {
            tasks.add_task(write_log, (format!("found query: {q}"),)).map_err(IntoResponse::into_response)?;
        }
        Ok(Self)
    }
}
// ANCHOR_END: query

// ANCHOR: session
/// A dependency that closes after the last task, so that all tasks can still use the session.
struct Session;

impl<S: Send + Sync> FromRequestParts<S> for Session {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Scope::current().on_teardown(async { println!("session closed") });
        Ok(Self)
    }
}
// ANCHOR_END: session
