//! The guest's response, made one that HTTP allows.

use http::header::CONTENT_LENGTH;
use http::{Response, StatusCode};
use wasmtime_wasi_http::WasiBody;

use crate::component::instance::HandlerError;
use crate::interfaces::outgoing::remove_forbidden;

/// Makes the guest's `response` one that may be sent. A response that has no body by its status loses its
/// `content-length` (RFC 9110 sections 8.6, 15.3.5 and 15.3.6); `sent.rs` drops the body itself. The host logs a
/// warning if the guest announced a body there, except for 304: with that status the header may say how long the body
/// would have been, but some HTTP/2 clients wait for it.
///
/// # Errors
///
/// If the status is one of 1xx: another response would have to follow, and there is none.
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
