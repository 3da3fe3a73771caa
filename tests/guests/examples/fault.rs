//! Does what its query says, including faults: `/?id=ID&run=STEPS&end=END&body=BODY&…`. It prints a line when it adds,
//! begins and ends a task. The test compares these lines with the host's records.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Query;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use epilogue_sdk::{BackgroundTasks, EnqueueError, FailurePolicy, RunWhen, Scope, TaskContext, TaskId, TaskOptions};
use futures::stream;
use serde::Deserialize;
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use spin_sdk::wasip3::http::types::{Fields, HeaderError};

const CHUNK: usize = 4096;
const FOR_EVER: Duration = Duration::from_secs(3600);

/// Requests that this instance has begun to handle.
static HANDLED: AtomicU32 = AtomicU32::new(0);

#[derive(Deserialize)]
struct Script {
    /// The request's trace id, which is in all that comes of it.
    id: String,
    /// The tasks, separated by commas: a kind, and letters for its options; see `add`.
    #[serde(default)]
    run: String,
    /// How the handler ends: with a response unless it is `error`, `panic`, `hang` or `spin`.
    #[serde(default)]
    end: String,
    /// How the response's body is made: at once unless it is `stream`, `broken`, `trap`, `endless` or `echo`.
    #[serde(default)]
    body: String,
    #[serde(default)]
    size: usize,
    /// `stop` or `continue`; the operator's setting if missing.
    #[serde(default)]
    policy: String,
    /// `ok`, `fail`, `panic`, `hang`, or `add`, which adds a task; none if missing.
    #[serde(default)]
    teardown: String,
    /// The work that the handler spawns: `slow`, `panic`, `endless`, or `add`; none if missing.
    #[serde(default)]
    spawn: String,
}

#[http_service]
async fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
    let Query(script) = Query::<Script>::try_from_uri(request.uri())?;
    let Script { id, run, end, body, size, policy, teardown, spawn } = script;
    println!("{id} handled {}", HANDLED.fetch_add(1, Relaxed));
    match policy.as_str() {
        "stop" => BackgroundTasks::current().on_failure(FailurePolicy::Stop),
        "continue" => BackgroundTasks::current().on_failure(FailurePolicy::Continue),
        _ => {}
    }
    if !teardown.is_empty() {
        Scope::current().on_teardown(tear_down(id.clone(), teardown));
    }
    if !spawn.is_empty() {
        spin_sdk::wasip3::spawn(spawned(id.clone(), spawn));
    }
    let accepted: Vec<_> = run.split(',').filter_map(|step| Some(add(&id, step)?.to_string())).collect();
    match end.as_str() {
        "error" => anyhow::bail!("on purpose"),
        "panic" => panic!("on purpose"),
        "hang" => spin_sdk::time::sleep(FOR_EVER).await,
        "spin" => spin(),
        _ => {}
    }
    let mut response = respond(&id, &body, size, request);
    response.headers_mut().insert("accepted", accepted.join(",").parse()?);
    Ok(response)
}

/// Adds a task, unless the host refuses it. The letters of `step` are its options: `a` runs always, `f` runs after a
/// failure, `d` is cancelled if the client leaves, `t` has a short timeout, `r` has two attempts, and `c` is cancelled
/// right away.
fn add(id: &str, step: &str) -> Option<TaskId> {
    let (kind, letters) = step.split_once('-').unwrap_or((step, ""));
    let mut options = TaskOptions::new();
    for letter in letters.chars() {
        options = match letter {
            'a' => options.run_when(RunWhen::Always),
            'f' => options.run_when(RunWhen::Failure),
            'd' => options.cancel_on_disconnect(true),
            't' => options.timeout(Duration::from_millis(150)),
            'r' => options.max_attempts(2),
            _ => options,
        };
    }
    let tasks = BackgroundTasks::current();
    let added = match kind {
        "" => return None,
        "closure" => tasks.defer_with("closure", options, run(id.to_owned(), step.to_owned())),
        "large" => tasks.add_task_with(large, (id.into(), step.into(), "x".repeat(64 << 10)), options),
        _ => tasks.add_task_with(small, (id.into(), step.into()), options),
    };
    match added {
        Ok(task) => {
            println!("{id} added {task} {step}");
            if letters.contains('c') && tasks.cancel(task) {
                println!("{id} cancelled {task}");
            }
            Some(task)
        }
        Err(error) => {
            let limit = match error {
                EnqueueError::QueueFull { .. } => "tasks",
                EnqueueError::ArgsTooLarge { .. } | EnqueueError::RequestArgsTooLarge { .. } => "args",
                _ => "closed",
            };
            println!("{id} refused {limit} {step}");
            None
        }
    }
}

#[epilogue_sdk::task(name = "small")]
async fn small(id: String, step: String) -> anyhow::Result<()> {
    run(id, step).await
}

#[epilogue_sdk::task(name = "large")]
async fn large(id: String, step: String, filler: String) -> anyhow::Result<()> {
    anyhow::ensure!(filler.len() == 64 << 10, "the arguments have changed");
    run(id, step).await
}

async fn run(id: String, step: String) -> anyhow::Result<()> {
    let Some(context) = TaskContext::current() else { anyhow::bail!("a task without a context") };
    let (task, attempt) = (context.id(), context.attempt());
    println!("{id} begins {task} {attempt} {step}");
    anyhow::ensure!(context.trace_context().traceparent.contains(&id), "a task of another request");
    match step.split('-').next().unwrap_or_default() {
        "fail" => anyhow::bail!("on purpose"),
        "panic" => panic!("on purpose"),
        "pause" => spin_sdk::time::sleep(Duration::from_millis(1)).await,
        "sleep" => spin_sdk::time::sleep(FOR_EVER).await,
        "block" => std::thread::sleep(FOR_EVER),
        "spin" => spin(),
        "nested" => drop(add(&id, "ok-a")),
        "hoard" => hoard(),
        "flaky" => anyhow::ensure!(attempt == 2, "not yet"),
        "shaky" => assert!(attempt == 2, "not yet"),
        _ => {}
    }
    println!("{id} ends {task}");
    Ok(())
}

/// Makes the host keep header fields until it refuses, and then lets go of them.
fn hoard() {
    let mut taken = Vec::new();
    let full = loop {
        let fields = Fields::new();
        match fields.append("x", &[b'x'; 120_000]) {
            Ok(()) => taken.push(fields),
            Err(error) => break error,
        }
    };
    assert!(matches!(full, HeaderError::SizeExceeded) && taken.len() < 100, "{} and {full:?}", taken.len());
}

async fn tear_down(id: String, how: String) -> anyhow::Result<()> {
    println!("{id} teardown");
    match how.as_str() {
        "fail" => anyhow::bail!("on purpose"),
        "panic" => panic!("on purpose"),
        "hang" => spin_sdk::time::sleep(FOR_EVER).await,
        "add" => drop(add(&id, "late-a")),
        _ => {}
    }
    Ok(())
}

async fn spawned(id: String, how: String) {
    spin_sdk::time::sleep(Duration::from_millis(if how == "slow" { 30 } else { 2 })).await;
    match how.as_str() {
        "panic" => panic!("on purpose"),
        "endless" => spin_sdk::time::sleep(FOR_EVER).await,
        "add" => drop(add(&id, "spawned-a")),
        _ => {}
    }
}

/// The request's id, again and again, up to `size`.
fn respond(id: &str, how: &str, size: usize, request: Request) -> Response {
    let chunk = Bytes::from(id.repeat(CHUNK / id.len().max(1)));
    let endless = how == "endless";
    let fails_at = if matches!(how, "broken" | "trap") { size / 2 } else { usize::MAX };
    match how {
        "echo" => Body::new(request.into_body()).into_response(),
        "stream" | "broken" | "trap" | "endless" => {
            let trap = how == "trap";
            let chunks = stream::unfold(0, move |sent| {
                let next = chunk.slice(..if endless { CHUNK } else { (size - sent).min(CHUNK) });
                async move {
                    if sent >= fails_at {
                        assert!(!trap, "on purpose");
                        return Some((Err(std::io::Error::other("on purpose")), sent));
                    }
                    (!next.is_empty()).then(|| (Ok(next.clone()), if endless { 0 } else { sent + next.len() }))
                }
            });
            Body::from_stream(chunks).into_response()
        }
        _ => {
            let mut whole = id.repeat(size / id.len().max(1) + 1);
            whole.truncate(size);
            ([("content-length", size.to_string())], Body::from(whole)).into_response()
        }
    }
}

fn spin() {
    loop {
        std::hint::spin_loop();
    }
}
