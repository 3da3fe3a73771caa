//! Takes tasks back. The handler takes back its second task. A running task tries to take back itself, the next one, and one that has
//! ended.

use epilogue_sdk::{BackgroundTasks, EnqueueError, TaskId};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(_: Request) -> impl IntoResponse {
    enqueue().map_err(|error| error.to_string())
}

fn enqueue() -> Result<String, EnqueueError> {
    let tasks = BackgroundTasks::current();
    tasks.add_task(say, ("first".into(),))?;
    let second = tasks.add_task(say, ("second".into(),))?;
    tasks.add_task(cancel_around, (3,))?;
    tasks.add_task(say, ("fourth".into(),))?;
    tasks.add_task(say, ("fifth".into(),))?;
    let (once, again, unknown) = (tasks.cancel(second), tasks.cancel(second), tasks.cancel(TaskId(99)));
    Ok(format!("{once} {again} {unknown}"))
}

#[epilogue_sdk::task(name = "say")]
fn say(what: String) {
    println!("{what}");
}

#[epilogue_sdk::task(name = "cancel-around")]
fn cancel_around(own: u64) {
    let tasks = BackgroundTasks::current();
    let (next, running, ended) = (tasks.cancel(TaskId(own + 1)), tasks.cancel(TaskId(own)), tasks.cancel(TaskId(1)));
    println!("{next} {running} {ended}");
}
