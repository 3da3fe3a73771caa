//! Enqueues tasks that it cannot run, like a guest after an update that removed or changed a task: `/?run=gone` and
//! `/?run=changed`.

use epilogue_sdk::{BackgroundTasks, EnqueueError, Task};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    let tasks = BackgroundTasks::current();
    let id = match request.uri().query() {
        Some("run=gone") => tasks.add_task(Gone, ()),
        _ => tasks.add_task(Changed, (7,)),
    };
    id.map(|id| id.to_string()).map_err(|error: EnqueueError| error.to_string())
}

#[epilogue_sdk::task(name = "greet")]
fn greet(name: String) {
    println!("hello {name}");
}

/// A task that the newer version of the guest does not have.
#[derive(Clone, Copy)]
struct Gone;

impl Task for Gone {
    type Args = ();
    const NAME: &'static str = "gone";

    async fn run((): ()) -> Result<(), String> {
        unreachable!("it is not registered")
    }
}

/// `greet` as in an older version, when it took a number.
#[derive(Clone, Copy)]
struct Changed;

impl Task for Changed {
    type Args = (u32,);
    const NAME: &'static str = "greet";

    async fn run(_: (u32,)) -> Result<(), String> {
        unreachable!("it is not registered")
    }
}
