//! The host's own answers to a request.

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use wasmtime_wasi_http::WasiBody;

/// The host's answer while it has no room: 503, with `retry-after: 1`.
pub(crate) fn unavailable() -> Response<WasiBody> {
    let mut response = plain(StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// An answer of the host, whose body is the name of the status.
pub(crate) fn plain(status: StatusCode) -> Response<WasiBody> {
    let mut response = Response::new(Bytes::from_static(status.canonical_reason().unwrap_or_default().as_bytes()));
    *response.status_mut() = status;
    whole(response)
}

/// An answer of the host with this body.
pub(crate) fn whole(response: Response<Bytes>) -> Response<WasiBody> {
    response.map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync())
}
