//! Counts the bytes of the whole body, or fails if that fails; `/ignore` reads nothing of it.

use epilogue_sdk::BackgroundTasks;
use spin_sdk::http::body::IncomingBodyExt;
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
    BackgroundTasks::current().add_task(after, ())?;
    if request.uri().path() == "/ignore" {
        return Ok("ignored".to_owned());
    }
    let body = request.into_body().bytes().await?;
    Ok(format!("{} bytes", body.len()))
}

#[epilogue_sdk::task]
fn after() {}
