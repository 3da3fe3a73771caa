//! Uses the bindings of the contract alone, without the SDK, as a guest in another language does. It calls every function of
//! `queue` and `context`, and leaves out `stop-signal`, whose function is asynchronous.

#![allow(unsafe_code, missing_docs, unreachable_pub, reason = "generated")]

use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

// ANCHOR: guest
wit_bindgen::generate!({
    inline: "package test:without-sdk;
        world without-sdk {
            import epilogue:background/queue@0.1.0;
            import epilogue:background/context@0.1.0;
            export epilogue:background/runner@0.1.0;
        }",
    path: "../../wit",
    generate_all,
});

use epilogue::background::types::{ResponseOutcome, RunWhen, TaskError, TaskOptions};
use epilogue::background::{context, queue};
use exports::epilogue::background::runner;

#[http_service]
async fn handle(_: Request) -> anyhow::Result<impl IntoResponse> {
    queue::on_failure(queue::FailurePolicy::Continue);
    queue::add_task("no-such-task", b"", DEFAULTS)?;
    queue::add_task("greet", b"world", DEFAULTS)?;
    let taken_back = queue::add_task("greet", b"nobody", DEFAULTS)?;
    queue::needs_teardown();
    Ok(format!("cancelled: {}", queue::cancel(taken_back)))
}

const DEFAULTS: TaskOptions = TaskOptions {
    run_when: RunWhen::Success,
    timeout: None,
    max_attempts: None,
    backoff: None,
    cancel_on_disconnect: false,
    instance_bound: false,
    durable: false,
};

struct Runner;

export!(Runner);

impl runner::Guest for Runner {
    async fn run(task: runner::Task) -> Result<(), TaskError> {
        match task.name.as_str() {
            "greet" => {
                let name = String::from_utf8(task.args).map_err(|error| TaskError::BadArgs(error.to_string()))?;
                let id = context::request().map(|request| request.request_id).unwrap_or_default();
                let key = context::idempotency_key(task.id);
                println!("hello {name}, this is {}", if key == Some(format!("{id}:2")) { "task 2" } else { "unknown" });
                Ok(())
            }
            _ => Err(TaskError::UnknownTask),
        }
    }

    async fn teardown(outcome: ResponseOutcome) -> Result<(), String> {
        println!("torn down, {outcome:?}");
        Ok(())
    }
}
// ANCHOR_END: guest
