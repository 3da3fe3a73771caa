//! Asks for more than it may have. `/tasks?COUNT` adds that many tasks. `/memory` takes as many MiB as it can get.
//! `/leak` keeps a handle, and answers with the number of this request in its instance. `/error?BYTES` fails with a
//! long text in the handler and in a task, and `/teardown?BYTES` in the teardown. With `/print?BYTES`, a task prints a
//! long text.

use std::cell::Cell;
use std::mem;

use epilogue_sdk::{BackgroundTasks, RunWhen, Scope, TaskOptions};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use spin_sdk::wasip3::http::types::Fields;

thread_local! {
    static SERVED: Cell<u32> = const { Cell::new(0) };
}

#[http_service]
async fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
    let count = request.uri().query().and_then(|query| query.parse().ok()).unwrap_or(0);
    let served = SERVED.get() + 1;
    SERVED.set(served);
    let tasks = BackgroundTasks::current();
    match request.uri().path() {
        "/tasks" => {
            let accepted = (0..count).filter(|_| tasks.add_task(nothing, ()).is_ok()).count();
            return Ok(accepted.to_string());
        }
        "/memory" => return Ok(take_memory().to_string()),
        "/leak" => mem::forget(Fields::new()),
        "/error" => {
            tasks.add_task_with(fail, (count,), TaskOptions::new().run_when(RunWhen::Always))?;
            anyhow::bail!("é".repeat(count / 2));
        }
        "/teardown" => Scope::current().on_teardown(async move { Err::<(), _>("é".repeat(count / 2)) }),
        "/print" => _ = tasks.add_task(print, (count,))?,
        _ => {}
    }
    Ok(served.to_string())
}

/// Takes memory until there is no more. Returns how many MiB there were.
fn take_memory() -> usize {
    let mut taken = Vec::new();
    loop {
        let mut piece = Vec::new();
        if piece.try_reserve_exact(1 << 20).is_err() {
            return taken.len();
        }
        piece.resize(1 << 20, 1u8);
        taken.push(piece);
    }
}

#[epilogue_sdk::task(name = "nothing")]
fn nothing() {}

#[epilogue_sdk::task(name = "fail")]
fn fail(count: usize) -> Result<(), String> {
    Err("é".repeat(count / 2))
}

#[epilogue_sdk::task(name = "print")]
fn print(count: usize) {
    println!("{}", "x".repeat(count));
}
