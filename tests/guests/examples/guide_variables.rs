//! The code of "Use variables".

use epilogue_sdk::{BackgroundTasks, task};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
// ANCHOR: task
use spin_sdk::variables;

#[task]
async fn charge(order: u32) -> anyhow::Result<()> {
    let url = variables::get("charge_url").await?;
    println!("charging order {order} at {url}");
    Ok(())
}
// ANCHOR_END: task

#[http_service]
async fn handle(_: Request) -> anyhow::Result<impl IntoResponse> {
    BackgroundTasks::current().add_task(charge, (7,))?;
    Ok("accepted")
}
