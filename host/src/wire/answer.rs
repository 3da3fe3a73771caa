//! Makes the responses that the host sends itself.

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use wasmtime_wasi_http::WasiBody;

/// Makes the response to a request that the host cannot serve now, because a limit is reached or the host is stopping:
/// status 503 with `retry-after` set to 1 second.
pub(crate) fn unavailable() -> Response<WasiBody> {
    let mut response = plain(StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Makes a response with `status`. The body is the name of the status, such as `Not Found`.
pub(crate) fn plain(status: StatusCode) -> Response<WasiBody> {
    let mut response = Response::new(Bytes::from_static(status.canonical_reason().unwrap_or_default().as_bytes()));
    *response.status_mut() = status;
    whole(response)
}

/// Converts a response that the host has made to the type of guests' responses. The body of `response` is already
/// complete.
pub(crate) fn whole(response: Response<Bytes>) -> Response<WasiBody> {
    response.map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync())
}
