//! A typical request: it waits for a while, as for a database, then computes, and adds two tasks that compute too.

use std::hint::black_box;
use std::time::Duration;

use epilogue_sdk::BackgroundTasks;
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

const WAIT: Duration = Duration::from_millis(20);
/// Steps of a computation, of which a millisecond has about so many.
const MILLISECOND: u64 = 600_000;

#[http_service]
async fn handle(_request: Request) -> anyhow::Result<impl IntoResponse> {
    spin_sdk::time::sleep(WAIT).await;
    compute(2 * MILLISECOND);
    let tasks = BackgroundTasks::current();
    tasks.add_task(work, ())?;
    tasks.add_task(work, ())?;
    Ok("done")
}

#[epilogue_sdk::task(name = "work")]
async fn work() {
    compute(MILLISECOND);
}

fn compute(steps: u64) {
    black_box((0..steps).fold(0_u64, |sum, step| black_box(sum.wrapping_mul(31).wrapping_add(step))));
}
