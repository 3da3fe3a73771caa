//! Changes the guest's response to one that HTTP allows.

use http::header::CONTENT_LENGTH;
use http::{Response, StatusCode};
use wasmtime_wasi_http::WasiBody;

use crate::component::instance::HandlerError;
use crate::interfaces::outgoing::remove_forbidden;

/// Changes the guest's `response` so that it may be sent. If the status allows no body, removes `content-length` (RFC
/// 9110 sections 8.6, 15.3.5 and 15.3.6). `sent.rs` removes the body itself. The host logs a warning if the guest
/// announced a body, except for 304. With 304, the header may have the length of the body that a 200 would have, but
/// some HTTP/2 clients would wait for that body.
///
/// # Errors
///
/// If the status is 1xx, because such a response needs another one after it.
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
