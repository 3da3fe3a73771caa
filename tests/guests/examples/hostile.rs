//! Misbehaves at the place that its query names: `/?do=spin&at=body`. The place is `handler`, `body`, `task` or
//! `teardown`. A POST gets its body back. Each request has a task `after`, behind all others. With `&cancel=true`, the
//! host cancels this task if the client leaves.

use std::hint::black_box;
use std::time::Duration;
use std::{fs, mem, thread};

use axum::Router;
use axum::body::Body;
use axum::extract::Query;
use axum::routing::get;
use bytes::Bytes;
use epilogue_sdk::{BackgroundTasks, EnqueueError, FailurePolicy, RunWhen, Scope, TaskContext, TaskOptions, stopping};
use futures::stream;
use serde::Deserialize;
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use spin_sdk::wasip3::http::types::Fields;
use tower_service::Service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    Router::new().route("/", get(misbehave).post(echo)).call(request).await
}

#[derive(Deserialize)]
struct Wanted {
    r#do: String,
    at: String,
    #[serde(default)]
    cancel: bool,
}

async fn misbehave(
    Query(Wanted { r#do: what, at, cancel }): Query<Wanted>,
    tasks: BackgroundTasks,
) -> Result<Body, EnqueueError> {
    tasks.on_failure(FailurePolicy::Continue);
    if what == "recurse" {
        eprintln!("handles it");
    }
    if at == "task" {
        tasks.add_task(deed, (what.clone(),))?;
    }
    if what == "stubborn" {
        tasks.add_task_with(stubborn, (), TaskOptions::new().max_attempts(6))?;
    }
    tasks.add_task_with(after, (), TaskOptions::new().run_when(RunWhen::Always).cancel_on_disconnect(cancel))?;
    match at.as_str() {
        "handler" => commit(&what).await,
        "teardown" => Scope::current().on_teardown(async move { commit(&what).await }),
        "body" => {
            let frames = stream::unfold((0, what), |(count, what)| async move {
                match count {
                    0 => {}
                    1 => commit(&what).await,
                    _ => return None,
                }
                Some((Ok::<_, std::io::Error>(Bytes::from("some")), (count + 1, what)))
            });
            return Ok(Body::from_stream(frames));
        }
        _ => {}
    }
    Ok(Body::from("done"))
}

async fn echo(tasks: BackgroundTasks, body: Body) -> Result<Body, EnqueueError> {
    tasks.add_task(after, ())?;
    Ok(body)
}

async fn commit(what: &str) {
    match what {
        "panic" => panic!("on purpose"),
        "recurse" => _ = recurse(1),
        "grow" => grow(),
        "hold" => {
            let held = black_box(vec![1u8; 100 << 20]);
            println!("holds {}", held.len());
            spin_sdk::time::sleep(Duration::from_secs(3600)).await;
        }
        "fill" => drop(black_box(vec![1u8; 120 << 20])),
        "collect" => collect(),
        "wait" => spin_sdk::time::sleep(Duration::from_secs(3600)).await,
        "block" => thread::sleep(Duration::from_secs(3600)),
        "spin" => {
            println!("spins");
            loop {
                std::hint::spin_loop();
            }
        }
        // A pipe into which nobody writes.
        "read" => println!("{:?}", fs::read("/pipes/pipe")),
        "stop" => println!("stop: {:?}", stopping().await.reason),
        _ => {}
    }
}

/// Uses up the stack.
fn recurse(depth: u64) -> u64 {
    let room = black_box([depth; 64]);
    if depth == 0 { 0 } else { recurse(depth + 1) + room[0] }
}

/// Uses up the memory.
fn grow() {
    loop {
        mem::forget(black_box(vec![1u8; 1 << 20]));
    }
}

/// Takes resources of the host again and again, and keeps them.
fn collect() {
    loop {
        mem::forget(Fields::new());
    }
}

#[epilogue_sdk::task(name = "deed")]
async fn deed(what: String) {
    commit(&what).await;
}

#[epilogue_sdk::task(name = "after")]
fn after() {
    println!("after");
}

/// Panics five times.
#[epilogue_sdk::task(name = "stubborn")]
fn stubborn() {
    assert!(TaskContext::current().is_some_and(|task| task.attempt() == 6), "not yet");
}
