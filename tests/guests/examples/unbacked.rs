//! Calls functions of Spin that the host does not provide, in a task. The path says which.

use epilogue_sdk::{BackgroundTasks, task};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::{http_service, llm, redis};

#[http_service]
async fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
    match request.uri().path() {
        "/asynchronous" => _ = BackgroundTasks::current().add_task(asynchronous, ())?,
        "/synchronous" => _ = BackgroundTasks::current().add_task(synchronous, ())?,
        _ => {}
    }
    Ok("fine")
}

#[task]
async fn asynchronous() -> anyhow::Result<()> {
    redis::Connection::open("redis://127.0.0.1").await?;
    Ok(())
}

#[task]
fn synchronous() -> anyhow::Result<()> {
    llm::infer(llm::InferencingModel::Llama2Chat, "prompt")?;
    Ok(())
}
