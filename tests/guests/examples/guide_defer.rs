//! Counts a visit after the response, by a call to another server, as a Cloudflare Worker does with `ctx.waitUntil`.

use std::time::Instant;

use anyhow::ensure;
use epilogue_sdk::BackgroundTasks;
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

// ANCHOR: defer
#[http_service]
async fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
    let (path, began) = (request.uri().path().to_owned(), Instant::now());
    BackgroundTasks::current().defer(async move {
        let visit = format!("{path} after {} ms", began.elapsed().as_millis());
        count(visit).await
    })?;
    Ok("Hello\n")
}

async fn count(visit: String) -> anyhow::Result<()> {
    let response = spin_sdk::http::post(std::env::var("COUNTER")?, visit).await?;
    ensure!(response.status().is_success(), "the counter answered {}", response.status());
    Ok(())
}
// ANCHOR_END: defer
