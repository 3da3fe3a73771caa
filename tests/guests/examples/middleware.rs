//! A middleware: adds one task before it passes the request on, and one after. If it is around another middleware of
//! this kind, its name is `outer`, otherwise `inner`. The name is in its instance's memory, where the tasks read it.
//!
//! The header `middleware` makes it do something else: `answer` by itself, `fail` the first task, `look` at what it has of the
//! application's environment and files, or `name` its request, as its task and its teardown do then.

use std::cell::Cell;

use epilogue_sdk::{BackgroundTasks, RequestContext, Scope};
use spin_sdk::http::{HeaderName, HeaderValue, IntoResponse, Request, next};
use spin_sdk::http_service;
use spin_sdk::wasip3::http::types::Response;

const DEPTH: HeaderName = HeaderName::from_static("depth");

thread_local!(static NAME: Cell<&'static str> = const { Cell::new("nobody") });

#[http_service]
async fn handle(mut request: Request) -> anyhow::Result<Response> {
    NAME.set(if request.headers().contains_key(DEPTH) { "inner" } else { "outer" });
    Scope::current().on_teardown(async { say("torn down") });
    let tasks = BackgroundTasks::current();
    let wish = request.headers().get("middleware").and_then(|wish| wish.to_str().ok()).unwrap_or_default().to_owned();
    if wish == "look" {
        let folders = std::fs::read_dir("/").map(Iterator::count).unwrap_or_default();
        return Ok(format!("{:?} {folders}", std::env::var("SECRET").ok()).into_response()?);
    }
    if wish == "name" {
        Scope::current().on_teardown(async { say(&id()) });
        tasks.add_task(name, ())?;
        return Ok(id().into_response()?);
    }
    tasks.add_task(first, (wish == "fail",))?;
    if wish == "answer" {
        return Ok("answered by the middleware".into_response()?);
    }
    // Headers that only a host may set.
    for header in ["connection", "host"] {
        request.headers_mut().remove(header);
    }
    request.headers_mut().insert(DEPTH, HeaderValue::from_static("1"));
    let response = next(request).await?;
    tasks.add_task(last, ())?;
    Ok(response.into_response()?)
}

#[epilogue_sdk::task(name = "first")]
fn first(fail: bool) -> Result<(), &'static str> {
    say("first");
    if fail { Err("as asked") } else { Ok(()) }
}

/// Named as a task of the application.
#[epilogue_sdk::task(name = "ok")]
fn last() {
    say("last");
}

#[epilogue_sdk::task(name = "name")]
fn name() {
    say(&id());
}

fn id() -> String {
    RequestContext::current().map_or_else(|| "none".to_owned(), |request| request.id().to_owned())
}

fn say(what: &str) {
    println!("{}: {what}", NAME.get());
}
