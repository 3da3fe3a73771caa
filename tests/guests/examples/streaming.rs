//! Echoes the request's body while it arrives, between two lines of its own, and counts it after the response.

use bytes::Bytes;
use epilogue_sdk::{BackgroundTasks, EnqueueError};
use futures::{SinkExt, StreamExt};
use spin_sdk::http::body::{self, IncomingBodyExt};
use spin_sdk::http::{IntoResponse, Request, Response};
use spin_sdk::http_service;

#[http_service]
async fn echo(request: Request) -> impl IntoResponse {
    let mut incoming = request.into_body().stream();
    let (mut sender, body) = body::stream::<Bytes>();
    let tasks = BackgroundTasks::current();
    spin_sdk::wasip3::spawn(async move {
        let echoed = async {
            let mut length = 0;
            sender.send("begin\n".into()).await?;
            while let Some(chunk) = incoming.next().await {
                let chunk = chunk?;
                length += chunk.len();
                sender.send(chunk).await?;
            }
            sender.send("end\n".into()).await?;
            anyhow::Ok(length)
        };
        // The response has begun; what is known only at its end can still become a task's argument.
        let added: Result<_, EnqueueError> = match echoed.await {
            Ok(length) => tasks.add_task(count, (length,)),
            Err(error) => tasks.add_task(give_up, (error.to_string(),)),
        };
        if let Err(error) = added {
            println!("refused: {error}");
        }
    });
    Response::new(body)
}

#[epilogue_sdk::task]
fn count(length: usize) {
    println!("echoed {length} bytes");
}

#[epilogue_sdk::task]
fn give_up(error: String) {
    println!("gave up: {error}");
}
