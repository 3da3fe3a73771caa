//! Streams the answer of a language model to the client, and stores it after the stream: `POST /ask`.

use axum::http::Response;
use bytes::Bytes;
use epilogue_sdk::BackgroundTasks;
use futures::{SinkExt as _, StreamExt as _};
use spin_sdk::http::body::{self, IncomingBodyExt as _};
use spin_sdk::http::{FullBody, IntoResponse, Request};
use spin_sdk::http_service;

// ANCHOR: handler
#[http_service]
async fn ask(request: Request) -> anyhow::Result<impl IntoResponse> {
    let question = request.into_body().bytes().await?;
    let request = axum::http::Request::post(std::env::var("MODEL_API")?).body(FullBody::new(question))?;
    let mut answer = spin_sdk::http::send(request).await?.into_body().stream();

    let (mut client, body) = body::stream::<Bytes>();
    let tasks = BackgroundTasks::current();
    spin_sdk::wasip3::spawn(async move {
        let mut text = Vec::new();
        let mut complete = false;
        loop {
            match answer.next().await {
                Some(Ok(chunk)) => {
                    text.extend_from_slice(&chunk);
                    // It fails once the client has left. What has come so far is stored all the same.
                    if client.send(chunk).await.is_err() {
                        break;
                    }
                }
                Some(Err(error)) => {
                    eprintln!("the model's answer broke off: {error}");
                    break;
                }
                None => {
                    complete = true;
                    break;
                }
            }
        }
        // The text becomes a task's argument before the body ends.
        let text = String::from_utf8_lossy(&text).into_owned();
        if let Err(error) = tasks.add_task(store, (text, complete)) {
            eprintln!("the answer is not stored: {error}");
        }
    });
    Ok(Response::builder().header("content-type", "text/event-stream").body(body)?)
}
// ANCHOR_END: handler

// ANCHOR: task
#[epilogue_sdk::task(name = "store")]
async fn store(text: String, complete: bool) {
    println!("storing {} bytes, complete: {complete}", text.len());
}
// ANCHOR_END: task
