//! The code of "Use a key-value store".

use epilogue_sdk::{BackgroundTasks, task};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
// ANCHOR: task
use spin_sdk::key_value::Store;

#[task]
async fn remember(visitor: String) -> anyhow::Result<()> {
    let store = Store::open_default().await?;
    store.set("last-visitor", visitor).await?;
    Ok(())
}
// ANCHOR_END: task

#[http_service]
async fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
    let store = Store::open_default().await?;
    let last = store.get("last-visitor").await?.unwrap_or_else(|| b"nobody".to_vec());
    let visitor = request.uri().path().trim_start_matches('/').to_owned();
    BackgroundTasks::current().add_task(remember, (visitor,))?;
    Ok(format!("before you came {}", String::from_utf8(last)?))
}
