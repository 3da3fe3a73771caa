//! One request to which every possible source adds tasks (S5).

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::routing::get;
use axum::{RequestPartsExt, Router};
use epilogue_sdk::{BackgroundTask, BackgroundTasks, EnqueueError, Scope};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use tower_service::Service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    Router::new().route("/", get(handler)).call(request).await
}

async fn handler(_: Audit, tasks: BackgroundTasks) -> Result<(BackgroundTask, &'static str), EnqueueError> {
    tasks.add_task(say, ("handler".into(),))?;
    tasks.add_task(say_and_add, ("task".into(),))?;
    library()?;
    Ok((BackgroundTask::new(say, ("response".into(),)), "done"))
}

/// A dependency of the handler.
struct Audit;

impl<S: Send + Sync> FromRequestParts<S> for Audit {
    type Rejection = EnqueueError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, EnqueueError> {
        let (_, tasks) = (parts.extract::<Session>().await?, BackgroundTasks::current());
        tasks.add_task(say, ("dependency".into(),))?;
        Ok(Self)
    }
}

/// A dependency of the dependency.
struct Session;

impl<S: Send + Sync> FromRequestParts<S> for Session {
    type Rejection = EnqueueError;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, EnqueueError> {
        BackgroundTasks::current().add_task(say, ("sub-dependency".into(),))?;
        Scope::current().on_teardown(async {
            println!("teardown");
            BackgroundTasks::current().add_task(say_and_register, ("from the teardown".into(),)).map(drop)
        });
        Ok(Self)
    }
}

/// Adds a task from code that does not have the queue as a parameter.
fn library() -> Result<(), EnqueueError> {
    BackgroundTasks::current().add_task(say, ("library".into(),)).map(drop)
}

#[epilogue_sdk::task(name = "say")]
fn say(who: String) {
    println!("{who}");
}

#[epilogue_sdk::task(name = "say-and-add")]
fn say_and_add(who: String) -> Result<(), EnqueueError> {
    println!("{who}");
    BackgroundTasks::current().add_task(say, (format!("from the {who}"),)).map(drop)
}

#[epilogue_sdk::task(name = "say-and-register")]
fn say_and_register(who: String) {
    println!("{who}");
    Scope::current().on_teardown(async { println!("second teardown") });
}
