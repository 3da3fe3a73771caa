//! What the dashboard's answers and requests consist of.

use std::collections::HashMap;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::Body;
use super::guard::text;

/// The largest body of a request.
const MAX_BODY: usize = 64 * 1024;
/// The parameters of a query, decoded.
pub(super) struct Query(HashMap<String, String>);

impl Query {
    pub(super) fn of(query: &str) -> Self {
        Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// A parameter that is not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(super) fn number(&self, name: &str, default: usize) -> usize {
        self.get(name).and_then(|value| value.parse().ok()).unwrap_or(default)
    }
}

/// Adds to a state what the page may do and show.
pub(super) fn with_rights(state: &impl Serialize, actions: bool, durable: bool) -> serde_json::Value {
    let mut host = serde_json::to_value(state).unwrap_or_default();
    if let Some(host) = host.as_object_mut() {
        let backlog = host.remove("durable").unwrap_or_default();
        host.insert("backlog".to_owned(), backlog);
        host.insert("actions".to_owned(), actions.into());
        host.insert("durable".to_owned(), durable.into());
        let versions = host.get("versions").and_then(|versions| versions.as_array().cloned()).unwrap_or_default();
        let versions: Vec<_> = versions.into_iter().map(|loaded| json!({ "loaded": loaded })).collect();
        host.insert("versions".to_owned(), versions.into());
    }
    host
}

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

/// Reads a request's body as JSON.
///
/// # Errors
///
/// The answer, if the body is no such JSON or does not say that it is.
pub(super) async fn body<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Response<Body>> {
    // A form of another site cannot send this type.
    if request.headers().get(CONTENT_TYPE).is_none_or(|kind| kind != "application/json") {
        return Err(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json\n"));
    }
    let body = Limited::new(request.into_body(), MAX_BODY).collect().await;
    let body = body.map_err(|_| text(StatusCode::BAD_REQUEST, "the body is too large, or broke off\n"))?.to_bytes();
    serde_json::from_slice(&body)
        .map_err(|_| text(StatusCode::BAD_REQUEST, "the body is not the JSON that is needed\n"))
}
