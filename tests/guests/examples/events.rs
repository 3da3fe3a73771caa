//! Server-sent events: one every 10 ms for as long as somebody listens, or as many as the query says.

use std::time::Duration;

use epilogue_sdk::{BackgroundTasks, TaskContext};
use futures::SinkExt;
use futures::channel::mpsc::Sender;
use spin_sdk::http::{IntoResponse, Request, Response, body};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
    let count = request.uri().query().and_then(|query| query.strip_prefix("count=")?.parse().ok());
    BackgroundTasks::current().add_task(say_how_it_ended, ())?;
    let (sender, body) = body::stream();
    spin_sdk::wasip3::spawn(tick(sender, count.unwrap_or(u64::MAX)));
    Ok(Response::builder()
        .header("content-type", "text/event-stream")
        .header("cache-control", "no-cache")
        .body(body)?)
}

async fn tick(mut events: Sender<String>, count: u64) {
    for number in 1..=count {
        // It fails once nobody listens any more.
        if events.send(format!("event: tick\ndata: {number}\n\n")).await.is_err() {
            break;
        }
        spin_sdk::time::sleep(Duration::from_millis(10)).await;
    }
}

#[epilogue_sdk::task]
fn say_how_it_ended() {
    let outcome = TaskContext::current().map(|context| context.outcome().clone());
    println!("the events ended: {outcome:?}");
}
