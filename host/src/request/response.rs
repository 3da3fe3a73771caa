//! Checks the guest's response before the host sends it, and makes the host's own error responses.

use epilogue_engines::Error;
use http::header::CONTENT_LENGTH;
use http::{Response, StatusCode};
use wasmtime_wasi_http::WasiBody;

use crate::component::instance::{HandlerError, Interrupted};
use crate::interfaces::outgoing::remove_forbidden;
use crate::tasks::ids::RequestIds;
use crate::tasks::store::NotStored;
use crate::wire::answer::{plain, unavailable};

/// Changes the guest's `response` so that it conforms to HTTP. If the status allows no body, removes `content-length`
/// (RFC 9110 sections 8.6, 15.3.5 and 15.3.6), and `sent.rs` later removes the body. If `content-length` announced a
/// body, logs a warning. With status 304, logs no warning, because HTTP then allows a `content-length` without a body.
/// The host removes `content-length` with status 304 too, because some HTTP/2 clients would wait for the body.
///
/// # Errors
///
/// Returns an error if the status is 1xx, because a response with status 1xx is not the final response to a request.
pub(crate) fn checked(
    mut response: Response<WasiBody>,
    ids: RequestIds<'_>,
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
            let RequestIds { request, trace_id } = ids;
            tracing::warn!(
                target: "epilogue::request",
                request,
                component,
                status = status.as_u16(),
                trace_id,
                "the body of the response was dropped, because a response with this status has no body"
            );
        }
    }
    Ok(response)
}

/// Makes the host's own error response. The host sends this response if the handler returned no response, or a response
/// that the host must not send. The error response does not contain the reason of the failure, which is only for the
/// operator. If the request's durable tasks are too large for the task engine, the status is 500 and not 503, because a
/// retry by the client would fail in the same way.
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
