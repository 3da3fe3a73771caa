//! Checks the guest's response before the host sends it, and makes the host's own error responses.

use epilogue_engines::Error;
use http::header::CONTENT_LENGTH;
use http::{Response, StatusCode};
use wasmtime_wasi_http::WasiBody;

use crate::component::instance::{HandlerError, Interrupted};
use crate::interfaces::outgoing::remove_forbidden;
use crate::tasks::store::NotStored;
use crate::wire::answer::{plain, unavailable};

/// Changes the guest's `response` so that it conforms to HTTP. If the status allows no body, removes `content-length`
/// (RFC 9110 sections 8.6, 15.3.5 and 15.3.6). `sent.rs` removes the body itself. If the guest announced a body, the
/// host logs a warning, except for status 304. HTTP allows a response of status 304 to have the length of the missing
/// body, but some HTTP/2 clients would wait for the missing body.
///
/// # Errors
///
/// Returns an error if the status is 1xx, because HTTP demands another response after a response of status 1xx.
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
                "the body of the response was dropped, because a response with this status has no body"
            );
        }
    }
    Ok(response)
}

/// Makes the host's response for a request whose handler returned no response, or a response that must not be sent. The
/// response does not contain the reason of the failure, which is only for the operator. If the tasks are too large for
/// the task engine, the status is 500 instead of 503, because a retry would not help.
pub(super) fn failed(error: &HandlerError) -> Response<WasiBody> {
    match error {
        HandlerError::Interrupted(Interrupted::TimedOut(_)) => plain(StatusCode::GATEWAY_TIMEOUT),
        HandlerError::Interrupted(Interrupted::Stopped)
        | HandlerError::NotStored(
            NotStored::TaskEngine(Error::Unavailable(_) | Error::Config(_)) | NotStored::BacklogFull(_),
        ) => unavailable(),
        HandlerError::BadUpload(reason) => plain(reason.status()),
        HandlerError::Interrupted(Interrupted::Trapped(_))
        | HandlerError::Returned(_)
        | HandlerError::NotFinal(_)
        | HandlerError::NotStored(_) => plain(StatusCode::INTERNAL_SERVER_ERROR),
    }
}
