//! Stops at a gate that the test opens: `/?gate=URL&at=PLACE`, where the place is `handler`, `spawned`, `task`,
//! `stopping` or `teardown`. Each place prints its name when it is left.

use axum::Router;
use axum::extract::Query;
use axum::routing::get;
use epilogue_sdk::{BackgroundTasks, EnqueueError, Scope, TaskOptions, stopping};
use serde::Deserialize;
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use tower_service::Service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    Router::new().route("/", get(pass)).call(request).await
}

#[derive(Clone, Deserialize)]
struct Gate {
    gate: String,
    at: String,
    /// Whether the second task is to be cancelled if the client leaves.
    #[serde(default)]
    cancel: bool,
}

impl Gate {
    async fn leave(&self, place: &str) {
        if self.at == place {
            knock(&self.gate, place).await;
        }
        println!("{place}");
    }
}

/// Returns when the gate opens.
async fn knock(gate: &str, place: &str) {
    if let Err(error) = spin_sdk::http::get(format!("{gate}/{place}")).await {
        eprintln!("the gate did not open: {error}");
    }
}

async fn pass(Query(gate): Query<Gate>, tasks: BackgroundTasks, scope: Scope) -> Result<&'static str, EnqueueError> {
    let teardown = gate.clone();
    scope.on_teardown(async move { teardown.leave("teardown").await });
    if gate.at == "stopping" {
        tasks.add_task(wait_for_the_end, (gate.gate.clone(),))?;
    } else {
        tasks.add_task(task, (gate.gate.clone(), gate.at.clone()))?;
    }
    tasks.add_task_with(second, (), TaskOptions::new().cancel_on_disconnect(gate.cancel))?;
    if gate.at == "spawned" {
        let spawned = gate.clone();
        spin_sdk::wasip3::spawn(async move { spawned.leave("spawned").await });
    }
    gate.leave("handler").await;
    Ok("passed")
}

#[epilogue_sdk::task(name = "task")]
async fn task(gate: String, at: String) {
    Gate { gate, at, cancel: false }.leave("task").await;
}

// ANCHOR: stopping
/// Says that it is running, then runs until it is asked not to.
#[epilogue_sdk::task(name = "stopping")]
async fn wait_for_the_end(gate: String) {
    knock(&gate, "stopping").await;
    let stop = stopping().await;
    println!("stopping: {:?}", stop.reason);
}
// ANCHOR_END: stopping

#[epilogue_sdk::task(name = "second")]
async fn second() {
    println!("second");
}
