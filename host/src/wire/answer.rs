//! Makes the responses that the host sends itself.

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use wasmtime_wasi_http::WasiBody;

/// Makes the response that a full host sends: status 503 with `retry-after` set to 1 second.
pub(crate) fn unavailable() -> Response<WasiBody> {
    let mut response = plain(StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Makes a response whose body is the name of `status`.
pub(crate) fn plain(status: StatusCode) -> Response<WasiBody> {
    let mut response = Response::new(Bytes::from_static(status.canonical_reason().unwrap_or_default().as_bytes()));
    *response.status_mut() = status;
    whole(response)
}

/// Converts a response of the host to the type that guests' responses have. The host's response has a complete body.
pub(crate) fn whole(response: Response<Bytes>) -> Response<WasiBody> {
    response.map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync())
}
