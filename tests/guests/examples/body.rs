//! Returns responses of every kind. For each, a task prints when it ran.

use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::Query;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use epilogue_sdk::{BackgroundTasks, EnqueueError, Scope, TaskContext};
use futures::stream;
use serde::Deserialize;
use spin_sdk::http::{IntoResponse, Request, StatusCode};
use spin_sdk::http_service;
use tower_service::Service;

const CHUNK: usize = 64 * 1024;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    Router::new()
        .route("/body", get(body))
        .route("/echo", post(echo))
        .route("/broken", get(broken))
        .route("/panic", get(panics))
        .route("/left", get(left))
        .call(request)
        .await
}

#[derive(Deserialize)]
struct Wanted {
    size: usize,
    /// Whether the length is announced.
    #[serde(default)]
    fixed: bool,
    /// Another length to announce, which is wrong.
    length: Option<usize>,
    status: Option<u16>,
    /// The gate to which the guest comes before it panics, while the body may still be on its way.
    gate: Option<String>,
}

/// Returns the requested number of bytes, in chunks.
async fn body(Query(wanted): Query<Wanted>, tasks: BackgroundTasks) -> Result<Response, EnqueueError> {
    tasks.add_task(after, ())?;
    let Wanted { size, fixed, length, status, gate } = wanted;
    let tells = gate.is_some();
    if let Some(gate) = gate {
        spin_sdk::wasip3::spawn(async move {
            panic!("on purpose, behind the gate: {:?}", spin_sdk::http::get(gate).await.is_ok());
        });
    }
    let chunk = Bytes::from(vec![b'x'; CHUNK]);
    let chunks = stream::unfold(size, move |left| {
        let next = chunk.slice(..left.min(CHUNK));
        if tells && left == 0 {
            println!("all is written");
        }
        async move { (left > 0).then(|| (Ok::<_, std::io::Error>(next.clone()), left - next.len())) }
    });
    let mut response = Body::from_stream(chunks).into_response();
    *response.status_mut() = status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::OK);
    if let Some(length) = length.or(fixed.then_some(size)) {
        response.headers_mut().insert("content-length", length.into());
    }
    Ok(response)
}

/// Copies the request's body to the response, as it comes.
async fn echo(tasks: BackgroundTasks, request: Body) -> Result<Body, EnqueueError> {
    tasks.add_task(after, ())?;
    Ok(Body::from_stream(request.into_data_stream()))
}

/// A body that ends with an error.
async fn broken(tasks: BackgroundTasks) -> Result<Body, EnqueueError> {
    tasks.add_task(after, ())?;
    let frames = [Ok(Bytes::from("some")), Err(std::io::Error::other("no more"))];
    Ok(Body::from_stream(stream::iter(frames)))
}

/// A body that ends with a trap.
async fn panics(tasks: BackgroundTasks) -> Result<Body, EnqueueError> {
    tasks.add_task(after, ())?;
    let frames = stream::unfold(0, |count| async move {
        assert!(count == 0, "on purpose");
        Some((Ok::<_, std::io::Error>(Bytes::from("some")), count + 1))
    });
    Ok(Body::from_stream(frames))
}

/// A body without an end. It adds a closure when it is dropped, because the client has left.
async fn left(tasks: BackgroundTasks, scope: Scope) -> Body {
    scope.on_teardown(async { println!("teardown") });
    Body::from_stream(stream::unfold(Left(tasks), |left| async move {
        Some((Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; CHUNK])), left))
    }))
}

struct Left(BackgroundTasks);

impl Drop for Left {
    fn drop(&mut self) {
        if let Err(error) = self.0.defer(async { println!("closure") }) {
            println!("refused: {error}");
        }
    }
}

#[epilogue_sdk::task(name = "after")]
async fn after() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let outcome = TaskContext::current().map(|context| context.outcome().clone());
    println!("after {} {outcome:?}", now.as_micros());
}
