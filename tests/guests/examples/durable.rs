//! Adds durable tasks: `/?run=ok,fail,…` adds one for each name. Only `plain` is not durable. Each task prints its name
//! with the value of the variable `VERSION`, its attempt and its idempotency key. `gate` is the URL that the task
//! `knock` waits for.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use epilogue_sdk::{
    BackgroundTask, BackgroundTasks, EnqueueError, FailurePolicy, RunWhen, Scope, TaskContext, TaskOptions,
};
use spin_sdk::http::{Request, Response, StatusCode};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> anyhow::Result<Response<String>> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let value = |wanted: &str| {
        query.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == wanted)).map(|(_, value)| value)
    };
    let tasks = BackgroundTasks::current();
    let (gate, tag) = (value("gate").unwrap_or_default().to_owned(), value("tag").unwrap_or_default().to_owned());
    if value("on_failure") == Some("continue") {
        tasks.on_failure(FailurePolicy::Continue);
    }
    let mut durable = TaskOptions::new().durable(value("ask") != Some("no"));
    if let Some(attempts) = value("attempts").and_then(|attempts| attempts.parse().ok()) {
        durable = durable.max_attempts(attempts);
    }
    if value("when") == Some("always") {
        durable = durable.run_when(RunWhen::Always);
    }
    let mut ids = Vec::new();
    for name in value("run").unwrap_or_default().split(',').filter(|name| !name.is_empty()) {
        let added = match name {
            "ok" => tasks.add_task_with(ok, (tag.clone(),), durable),
            "bill" => tasks.add_task(bill, ()),
            "fail" => tasks.add_task_with(fail, (), durable),
            "chance" => tasks.add_task_with(chance, (), durable),
            "again" => tasks.add_task_with(again, (), durable),
            "panic" => tasks.add_task_with(panics, (), durable),
            "knock" => tasks.add_task_with(knock, (gate.clone(),), durable),
            "nested" => tasks.add_task_with(nested, (), durable),
            "tidy" => tasks.add_task_with(tidy, (), durable),
            "plain" => tasks.add_task(plain, ()),
            "late" => tasks.add_task(nested, ()),
            "closure" => tasks.defer_with("closure", durable, async { println!("closure") }),
            "leaving" => tasks.add_task_with(ok, (tag.clone(),), durable.cancel_on_disconnect(true)),
            "cancelled" => {
                let id = tasks.add_task_with(ok, (tag.clone(),), durable)?;
                assert!(tasks.cancel(id), "it is not stored yet");
                Ok(id)
            }
            "teardown" => {
                Scope::current().on_teardown(async move {
                    match tasks.add_task_with(ok, ("teardown".to_owned(),), durable) {
                        Ok(id) => println!("teardown added {id}, cancel {}", tasks.cancel(id)),
                        Err(error) => println!("teardown: {error}"),
                    }
                });
                continue;
            }
            "trap" => panic!("on purpose"),
            "error" => anyhow::bail!("on purpose"),
            other => unreachable!("there is no task {other}"),
        };
        match added {
            Ok(id) => ids.push(id.to_string()),
            Err(EnqueueError::Unsupported(reason)) => ids.push(reason),
            Err(error) => return Err(error.into()),
        }
    }
    let mut response = Response::new(ids.join(","));
    *response.status_mut() = StatusCode::OK;
    Ok(response)
}

fn say(what: &str) {
    let Some(context) = TaskContext::current() else { return };
    let version = std::env::var("VERSION").unwrap_or_default();
    println!("{what}{version} {} {} {}", context.attempt(), context.request_id(), context.idempotency_key());
}

#[epilogue_sdk::task(name = "ok")]
fn ok(tag: String) {
    say(&format!("ok{tag}"));
}

#[epilogue_sdk::task(name = "bill", durable)]
fn bill() {
    say("bill");
}

#[epilogue_sdk::task(name = "fail")]
fn fail() -> anyhow::Result<()> {
    say("fail");
    anyhow::bail!("no paper")
}

/// Fails one time in two.
#[epilogue_sdk::task(name = "chance")]
fn chance() -> anyhow::Result<()> {
    say("chance");
    anyhow::ensure!(RandomState::new().build_hasher().finish().is_multiple_of(2), "no luck");
    Ok(())
}

/// Adds itself twice, and prints it if the host refuses.
#[epilogue_sdk::task(name = "again")]
fn again() -> Result<(), EnqueueError> {
    say("again");
    for _ in 0..2 {
        BackgroundTasks::current()
            .add_task_with(again, (), TaskOptions::new().durable(true))
            .inspect_err(|error| println!("{error:?}"))?;
    }
    Ok(())
}

#[epilogue_sdk::task(name = "panic")]
fn panics() {
    say("panic");
    panic!("on purpose");
}

/// Runs until the gate opens.
#[epilogue_sdk::task(name = "knock")]
async fn knock(gate: String) -> anyhow::Result<()> {
    say("knock");
    spin_sdk::http::get(gate).await?;
    say("opened");
    Ok(())
}

/// Adds a durable task while it runs, and one that is not.
#[epilogue_sdk::task(name = "nested")]
fn nested() -> Result<(), EnqueueError> {
    say("nested");
    BackgroundTasks::current().add_task(plain, ())?;
    // ANCHOR: options
    let options = TaskOptions::new().durable(true).timeout(Duration::from_secs(5));
    // ANCHOR_END: options
    BackgroundTask::new(ok, ("-nested".to_owned(),)).options(options).enqueue()?;
    Ok(())
}

/// Leaves something to tear down.
#[epilogue_sdk::task(name = "tidy")]
fn tidy() {
    say("tidy");
    Scope::current().on_teardown(async { println!("tidied") });
}

#[epilogue_sdk::task(name = "plain")]
fn plain() {
    say("plain");
}
