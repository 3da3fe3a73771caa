//! Waits in each part of a request, so that another request could come between. `/?NUMBER`: each line that it prints
//! contains the number.

use std::time::Duration;

use epilogue_sdk::{BackgroundTasks, EnqueueError, RequestContext, Scope, TaskContext, TaskOptions};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    let number = request.uri().query().unwrap_or_default().to_owned();
    serve(number).await.map_err(|error| error.to_string())
}

async fn serve(number: String) -> Result<String, EnqueueError> {
    say(&number, "begins").await;
    let teardown = number.clone();
    Scope::current().on_teardown(async move { say(&teardown, "teardown").await });
    let tasks = BackgroundTasks::current();
    tasks.add_task(named, (number.clone(), request_id()))?;
    pause().await;
    let closure = number.clone();
    tasks.defer_with(&number, TaskOptions::new(), async move { say(&closure, "closure").await })?;
    say(&number, "ends").await;
    Ok(number)
}

#[epilogue_sdk::task(name = "named")]
async fn named(number: String, request: Option<String>) {
    let own = TaskContext::current().is_some_and(|context| Some(context.request_id()) == request.as_deref());
    say(&number, if own { "named" } else { "named in another request" }).await;
}

fn request_id() -> Option<String> {
    RequestContext::current().map(|request| request.id().to_owned())
}

async fn say(number: &str, what: &str) {
    pause().await;
    println!("{number} {what}");
    pause().await;
}

async fn pause() {
    spin_sdk::time::sleep(Duration::from_micros(500)).await;
}
