//! Answers, and prints in a task. It uses the contract's bindings, because the SDK is
//! built with spin-sdk 7.

#![allow(unsafe_code, missing_docs, unreachable_pub, reason = "generated")]

use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

wit_bindgen::generate!({
    inline: "package test:spin6;
        world spin6 {
            import epilogue:background/queue@0.1.0;
            export epilogue:background/runner@0.1.0;
        }",
    path: "../../../wit",
    generate_all,
});

use epilogue::background::queue;
use epilogue::background::types::{ResponseOutcome, RunWhen, TaskError, TaskOptions};
use exports::epilogue::background::runner;

#[http_service]
async fn handle(_: Request) -> anyhow::Result<impl IntoResponse> {
    let options = TaskOptions {
        run_when: RunWhen::Success,
        timeout: None,
        max_attempts: None,
        backoff: None,
        cancel_on_disconnect: false,
        instance_bound: false,
        durable: false,
    };
    queue::add_task("print", b"later", options)?;
    Ok("now")
}

struct Runner;

export!(Runner);

impl runner::Guest for Runner {
    async fn run(task: runner::Task) -> Result<(), TaskError> {
        println!("task: {}", String::from_utf8_lossy(&task.args));
        Ok(())
    }

    async fn teardown(_: ResponseOutcome) -> Result<(), String> {
        Ok(())
    }
}
