//! The guest's response, made one that HTTP allows.

use http::header::CONTENT_LENGTH;
use http::{Response, StatusCode};
use wasmtime_wasi_http::WasiBody;

use crate::component::instance::HandlerError;
use crate::interfaces::outgoing::remove_forbidden;

/// The guest's `response` as it may be sent. A response that has no body by its status loses its `content-length` (RFC 9110
/// sections 8.6, 15.3.5 and 15.3.6); `sent.rs` drops the body itself. A guest that announced one there is told of in the log,
/// except for 304: there the header may say what the body would have been, but HTTP/2 clients exist that wait for it.
///
/// # Errors
///
/// If its status is one of 1xx: such a response would be followed by another, and there is none.
pub(crate) fn checked(
    mut response: Response<WasiBody>,
    request: &str,
    component: &str,
) -> Result<Response<WasiBody>, HandlerError> {
    remove_forbidden(response.headers_mut());
    let status = response.status();
    if status.is_informational() {
        return Err(HandlerError::NotFinal(status));
    }
    if matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED) {
        let length = response.headers_mut().remove(CONTENT_LENGTH);
        if status != StatusCode::NOT_MODIFIED && length.is_some_and(|length| length != "0") {
            tracing::warn!(
                target: "epilogue::request",
                request,
                component,
                status = status.as_u16(),
                "the body of the response was dropped: one with this status has none"
            );
        }
    }
    Ok(response)
}
