//! Enqueues a task, but exports no `runner` to run it. It uses only bindings of the queue, without the SDK.

#![allow(unsafe_code, missing_docs, unreachable_pub, reason = "generated")]

use epilogue::background::queue;
use epilogue::background::types::{EnqueueError, RunWhen, TaskOptions};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

wit_bindgen::generate!({
    inline: "package test:no-runner; world no-runner { import epilogue:background/queue@0.1.0; }",
    path: "../../wit",
    generate_all,
});

#[http_service]
async fn handle(_: Request) -> impl IntoResponse {
    let options = TaskOptions {
        run_when: RunWhen::Success,
        timeout: None,
        max_attempts: None,
        backoff: None,
        cancel_on_disconnect: false,
        instance_bound: false,
        durable: false,
    };
    match queue::add_task("never", b"[]", options) {
        Ok(id) => format!("accepted as {id}"),
        Err(EnqueueError::NoRunner) => "no-runner".to_owned(),
        Err(error) => format!("{error:?}"),
    }
}
