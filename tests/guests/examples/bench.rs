//! The guest that `host/benches` measures. `/?tasks=3` adds three tasks, which count themselves. With `&sleep=50`, each
//! task first waits 50 ms, and with `&burn=1000`, it first computes 1000 rounds. `/?work=1000` computes before it
//! answers, and `/?body=1000` answers with 1000 bytes. `bench_plain.rs` is the same guest without tasks.
//! `host/benches/compare/apps` has the same app for other systems.

use std::hint::black_box;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Query;
use axum::response::Response;
use axum::routing::get;
use epilogue_sdk::{BackgroundTasks, EnqueueError};
use serde::Deserialize;
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use tower_service::Service;

static APP: LazyLock<Router> = LazyLock::new(|| Router::new().route("/", get(answer)));

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    APP.clone().call(request).await
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Wanted {
    tasks: u32,
    sleep: u64,
    burn: u64,
    work: u64,
    body: usize,
}

async fn answer(Query(wanted): Query<Wanted>, tasks: BackgroundTasks) -> Result<Response, EnqueueError> {
    for _ in 0..wanted.tasks {
        tasks.add_task(count, (wanted.sleep, wanted.burn))?;
    }
    compute(wanted.work);
    Ok(match wanted.body {
        0 => Response::new(Body::from("ok")),
        size => test_guests::streamed(size),
    })
}

#[epilogue_sdk::task(name = "count")]
async fn count(sleep: u64, burn: u64) {
    static RAN: AtomicU64 = AtomicU64::new(0);
    if sleep > 0 {
        spin_sdk::time::sleep(Duration::from_millis(sleep)).await;
    }
    compute(burn);
    RAN.fetch_add(1, Relaxed);
}

fn compute(rounds: u64) {
    black_box((0..rounds).fold(1_u64, |state, round| black_box(state.wrapping_mul(31).wrapping_add(round))));
}
