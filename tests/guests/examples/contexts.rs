//! The application of FastAPI's `tests/test_dependency_contextmanager.py`: dependencies with code behind their `yield`.
//! Here `on_teardown` registers that code. The original keeps its results in a dictionary, and this guest prints them.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, RequestPartsExt, Router};
use epilogue_sdk::{BackgroundTasks, EnqueueError, ResponseOutcome, Scope};
use spin_sdk::http::{IntoResponse, Request, StatusCode};
use spin_sdk::http_service;
use tower_service::Service;

#[http_service]
async fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
    let response: Response = Router::new()
        .route("/async", get(async |_: Asyncgen| "asyncgen started"))
        .route("/sync", get(async |_: Generator| "generator started"))
        .route("/async_raise", get(async |_: Asyncgen| RAISE))
        .route("/sync_raise", get(async |_: Generator| RAISE))
        .route("/async_raise_other", get(async |_: Asyncgen| StatusCode::INTERNAL_SERVER_ERROR))
        .route("/sync_raise_other", get(async |_: Generator| StatusCode::INTERNAL_SERVER_ERROR))
        .route("/context_b", get(async |_: ContextB| "started b, started a"))
        .route("/context_b_raise", get(async |_: ContextB| RAISE))
        .route("/context_b_bg", get(context_b_bg))
        .call(request)
        .await?;
    // axum makes a response of every error. One that nobody handles is raised here, as a host sees it.
    match response.extensions().get() {
        Some(Raised(error)) => anyhow::bail!(*error),
        None => Ok(response),
    }
}

#[derive(Clone)]
struct Raised(&'static str);

const RAISE: Extension<Raised> = Extension(Raised("nobody handles this"));

async fn context_b_bg(_: ContextB, tasks: BackgroundTasks) -> Result<&'static str, EnqueueError> {
    tasks.add_task(bg, ())?;
    Ok("started b, started a")
}

#[epilogue_sdk::task(name = "bg")]
async fn bg() {
    println!("bg");
}

/// An asynchronous context: its cleanup waits for something.
struct Asyncgen;

impl<S: Send + Sync> FromRequestParts<S> for Asyncgen {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Infallible> {
        println!("asyncgen started");
        Scope::current().on_teardown(async {
            spin_sdk::time::sleep(Duration::from_millis(1)).await;
            println!("asyncgen {}", end());
        });
        Ok(Self)
    }
}

/// A synchronous context.
struct Generator;

impl<S: Send + Sync> FromRequestParts<S> for Generator {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Infallible> {
        println!("generator started");
        Scope::current().on_teardown(async { println!("generator {}", end()) });
        Ok(Self)
    }
}

/// Says how the request ended, as `except` and `finally` do in Python.
fn end() -> &'static str {
    match Scope::current().outcome() {
        Some(ResponseOutcome::HandlerFailed(_)) => "saw an error and finalized",
        _ => "completed",
    }
}

struct ContextA;

impl<S: Send + Sync> FromRequestParts<S> for ContextA {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Infallible> {
        println!("started a");
        Scope::current().on_teardown(async { println!("finished a") });
        Ok(Self)
    }
}

/// A context within `ContextA`.
struct ContextB;

impl<S: Send + Sync> FromRequestParts<S> for ContextB {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        parts.extract::<ContextA>().await?;
        println!("started b");
        Scope::current().on_teardown(async { println!("finished b") });
        Ok(Self)
    }
}
