//! Enqueues a task for each possible result of a handler. Then the handler ends as its path says: `/error`, `/panic`,
//! `/hang`, or a status (S6).

use std::time::Duration;

use epilogue_sdk::{BackgroundTasks, EnqueueError, RunWhen, Scope, TaskContext, TaskOptions};
use spin_sdk::http::{IntoResponse, Request, StatusCode};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
    enqueue()?;
    Scope::current().on_teardown(async { println!("teardown: {:?}", Scope::current().outcome()) });
    match request.uri().path().trim_start_matches('/') {
        "error" => anyhow::bail!("no database"),
        "panic" => panic!("on purpose"),
        "hang" => {
            spin_sdk::time::sleep(Duration::from_secs(3600)).await;
            Ok(StatusCode::OK)
        }
        status => Ok(status.parse()?),
    }
}

// ANCHOR: run-when
fn enqueue() -> Result<(), EnqueueError> {
    let tasks = BackgroundTasks::current();
    tasks.add_task_with(on_success, (), TaskOptions::new().run_when(RunWhen::Success))?;
    tasks.add_task_with(on_failure, (), TaskOptions::new().run_when(RunWhen::Failure))?;
    tasks.add_task_with(always, (), TaskOptions::new().run_when(RunWhen::Always))?;
    tasks.defer_with("always-closure", TaskOptions::new().run_when(RunWhen::Always), async { say("always") })?;
    Ok(())
}
// ANCHOR_END: run-when

#[epilogue_sdk::task(name = "on-success")]
fn on_success() {
    say("success");
}

#[epilogue_sdk::task(name = "on-failure")]
fn on_failure() {
    say("failure");
}

// ANCHOR: outcome
#[epilogue_sdk::task(name = "always")]
fn always() {
    say("always");
}

fn say(when: &str) {
    println!("{when}: {:?}", TaskContext::current().map(|task| task.outcome().clone()));
}
// ANCHOR_END: outcome
