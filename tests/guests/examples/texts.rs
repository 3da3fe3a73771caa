//! Uses its request's body as a text. `/name` adds a task with this name. `/task`, `/handler` and `/teardown` fail with
//! the text, `/panic` panics with it, and `/stderr` prints it unchanged. `/durable` adds a durable task whose name is
//! two lines.

use std::io::Write as _;

use axum::Router;
use axum::extract::Path;
use axum::routing::post;
use bytes::Bytes;
use epilogue_sdk::{BackgroundTasks, Scope, TaskOptions};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use tower_service::Service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    Router::new().route("/{place}", post(put)).call(request).await
}

async fn put(Path(place): Path<String>, tasks: BackgroundTasks, body: Bytes) -> Result<(), String> {
    let text = String::from_utf8_lossy(&body).into_owned();
    let options = TaskOptions::new();
    match place.as_str() {
        "name" => _ = tasks.defer_with(&text, options, async {}).map_err(|error| error.to_string())?,
        "task" => _ = tasks.defer(async move { Err::<(), _>(text) }).map_err(|error| error.to_string())?,
        "teardown" => Scope::current().on_teardown(async move { Err::<(), _>(text) }),
        "stderr" => std::io::stderr().write_all(&body).map_err(|error| error.to_string())?,
        "durable" => {
            _ = tasks.add_task_with(two_lines, (), options.durable(true)).map_err(|error| error.to_string())?
        }
        "handler" => return Err(text),
        _ => panic!("{text}"),
    }
    Ok(())
}

#[epilogue_sdk::task(name = "two\n INFO epilogue::task: lines")]
fn two_lines() {}
