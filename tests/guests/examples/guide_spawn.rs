//! The same work twice: `/spawned` spawns it, and `/task` adds it as a task.

use epilogue_sdk::BackgroundTasks;
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
    match request.uri().path() {
        "/spawned" => spawned(),
        _ => task()?,
    }
    Ok("Hello\n")
}

// ANCHOR: spawned
fn spawned() {
    spin_sdk::wasip3::spawn(async {
        if let Err(error) = count().await {
            eprintln!("not counted: {error:#}");
        }
    });
}
// ANCHOR_END: spawned

// ANCHOR: task
fn task() -> anyhow::Result<()> {
    BackgroundTasks::current().add_task(count, ())?;
    Ok(())
}

#[epilogue_sdk::task(name = "count")]
async fn count() -> anyhow::Result<()> {
    let response = spin_sdk::http::post("http://127.0.0.1:9/visits", "1").await?;
    anyhow::ensure!(response.status().is_success(), "the counter answered {}", response.status());
    Ok(())
}
// ANCHOR_END: task
