//! Enqueues tasks with arguments of given sizes: `/?sizes=10x20,3` adds ten tasks with 20 bytes and one with 3. If the
//! host refuses a task, the guest answers with the error (S11).

use epilogue_sdk::{BackgroundTasks, EnqueueError};
use spin_sdk::http::{IntoResponse, Request, StatusCode};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    let sizes = request.uri().query().and_then(|query| query.strip_prefix("sizes=")).unwrap_or_default();
    match enqueue(sizes) {
        Ok(()) => (StatusCode::OK, "all accepted".to_owned()),
        Err(full @ EnqueueError::QueueFull { .. }) => (StatusCode::SERVICE_UNAVAILABLE, format!("come back: {full}")),
        Err(too_large) => (StatusCode::PAYLOAD_TOO_LARGE, format!("send less: {too_large}")),
    }
}

fn enqueue(sizes: &str) -> Result<(), EnqueueError> {
    for part in sizes.split(',') {
        let (count, size) = part.split_once('x').unwrap_or(("1", part));
        for _ in 0..count.parse().unwrap_or(0) {
            // As JSON it is within brackets and quotes.
            let text = "a".repeat(size.parse::<usize>().unwrap_or(0).saturating_sub(4));
            BackgroundTasks::current().add_task(receive, (text,))?;
        }
    }
    Ok(())
}

#[epilogue_sdk::task(name = "receive")]
fn receive(_text: String) {}
