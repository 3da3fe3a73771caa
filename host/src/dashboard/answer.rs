//! Reads the queries and bodies of requests to the dashboard, and makes JSON answers.

use std::collections::HashMap;

use bytes::Bytes;
use epilogue_engines as engines;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::Body;
use super::guard::text;
use crate::server::overview::State;

/// The largest request body that the dashboard accepts, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// The decoded parameters of a URL's query.
pub(super) struct Query(HashMap<String, String>);

impl Query {
    pub(super) fn of(query: &str) -> Self {
        Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// Returns the value of a parameter, or `None` if the parameter is missing or empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(super) fn number(&self, name: &str, default: usize) -> usize {
        self.get(name).and_then(|value| value.parse().ok()).unwrap_or(default)
    }
}

/// The state of the host, and what the page may do and show.
#[derive(Serialize)]
pub(super) struct Host {
    #[serde(flatten)]
    pub(super) state: State,
    #[serde(flatten)]
    pub(super) rights: Rights,
}

/// Says what the page may do and show.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Rights {
    /// True if the page may retry and drop dead tasks.
    pub(super) actions: bool,
    /// True if a task engine exists, so that the page can show durable tasks.
    pub(super) durable: bool,
}

/// Makes an answer with `value` as JSON.
pub(super) fn json(value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(content) => {
            let mut response = Response::new(Full::new(Bytes::from(content)).boxed_unsync());
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the answer cannot be written\n"),
    }
}

/// Makes the error response to a request that needs the task engine, if the dashboard cannot reach the task engine.
pub(super) fn unanswered(error: &engines::Error) -> Response<Body> {
    let mut response = json(&json!({ "error": error.to_string() }));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}

/// Reads a request's body as JSON.
///
/// # Errors
///
/// Returns the error response for the client if the body is not a `T` in JSON, or if the content type is not JSON.
pub(super) async fn body<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Response<Body>> {
    // A form on another website cannot send this content type.
    if request.headers().get(CONTENT_TYPE).is_none_or(|kind| kind != "application/json") {
        return Err(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json\n"));
    }
    let body = Limited::new(request.into_body(), MAX_BODY).collect().await;
    let body = body.map_err(|_| text(StatusCode::BAD_REQUEST, "the body is too large, or broke off\n"))?.to_bytes();
    serde_json::from_slice(&body)
        .map_err(|_| text(StatusCode::BAD_REQUEST, "the body is not the JSON that is needed\n"))
}
