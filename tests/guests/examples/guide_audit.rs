//! A middleware that refuses unknown users, and records each visit after the response.

// ANCHOR: middleware
use axum::http::Response;
use epilogue_sdk::BackgroundTasks;
use spin_sdk::http::{HeaderMap, IntoResponse, Request, next};
use spin_sdk::http_service;

#[http_service]
async fn audit(mut request: Request) -> anyhow::Result<impl IntoResponse> {
    let Some(user) = user(request.headers()) else {
        return Ok(Response::builder().status(401).body(String::new())?.into_response()?);
    };
    let what = format!("{user}: {} {}", request.method(), request.uri().path());
    BackgroundTasks::current().add_task(write_down, (what,))?;
    // A guest may not send this header.
    request.headers_mut().remove("host");
    Ok(next(request).await?.into_response()?)
}

fn user(headers: &HeaderMap) -> Option<String> {
    Some(headers.get("user")?.to_str().ok()?.to_owned())
}

#[epilogue_sdk::task(name = "audit")]
fn write_down(what: String) {
    println!("{what}");
}
// ANCHOR_END: middleware
