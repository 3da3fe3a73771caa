//! Closures as tasks. The path chooses the case: closures that capture values, that end in some way, that never run, or
//! that ask for two attempts (S15).

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use epilogue_sdk::{BackgroundTasks, EnqueueError, FailurePolicy, Scope, TaskOptions};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    let path = request.uri().path();
    let enqueued = match path {
        "/capture" => capture(path),
        "/fail" => end(async { Err("no paper") }),
        "/panic" => end(async { panic!("on purpose") }),
        "/hang" => end(async {
            spin_sdk::time::sleep(Duration::from_secs(3600)).await;
            Ok(())
        }),
        "/unused" => unused(),
        _ => retry(),
    };
    enqueued.map(|()| "done").map_err(|error| error.to_string())
}

/// Adds named tasks, and between them closures that share a value in the instance's memory.
fn capture(path: &str) -> Result<(), EnqueueError> {
    let (tasks, path) = (BackgroundTasks::current(), path.to_owned());
    let seen = Rc::new(RefCell::new(vec![path]));
    let inner = seen.clone();
    tasks.defer(async move { inner.borrow_mut().push("first".to_owned()) })?;
    tasks.add_task(say, ("named".into(),))?;
    tasks.defer_with("report", TaskOptions::new(), async move {
        seen.borrow_mut().push("second".to_owned());
        println!("{}", seen.borrow().join(" "));
        BackgroundTasks::current().defer(async { println!("from a closure") }).map(drop)
    })?;
    tasks.add_task(say, ("named too".into(),))?;
    Ok(())
}

/// Adds a closure that does not succeed, and tasks after it.
fn end(closure: impl Future<Output = Result<(), &'static str>> + 'static) -> Result<(), EnqueueError> {
    let tasks = BackgroundTasks::current();
    tasks.on_failure(FailurePolicy::Continue);
    tasks.defer_with("it", TaskOptions::new().timeout(Duration::from_millis(200)), closure)?;
    tasks.defer(async { println!("closure") })?;
    tasks.add_task(say, ("named".into(),))?;
    Ok(())
}

/// Adds a closure that is cancelled and one that is skipped. Their values are dropped before the scope closes, because
/// they may depend on the scope's resources.
fn unused() -> Result<(), EnqueueError> {
    let tasks = BackgroundTasks::current();
    Scope::current().on_teardown(async { println!("teardown") });
    let (cancelled, skipped) = (Held("cancelled"), Held("skipped"));
    let id = tasks.defer(async move { drop(cancelled) })?;
    tasks.cancel(id);
    tasks.defer(async { Err("no paper") })?;
    tasks.defer(async move { drop(skipped) })?;
    Ok(())
}

/// Asks for two attempts of a closure, which the first attempt would consume.
fn retry() -> Result<(), EnqueueError> {
    BackgroundTasks::current().defer_with("retried", TaskOptions::new().max_attempts(2), async {}).map(drop)
}

struct Held(&'static str);

impl Drop for Held {
    fn drop(&mut self) {
        println!("{} is let go", self.0);
    }
}

#[epilogue_sdk::task(name = "say")]
fn say(what: String) {
    println!("{what}");
}
