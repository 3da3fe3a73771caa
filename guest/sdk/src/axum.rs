//! Extractors and responses for axum 0.8.

use std::convert::Infallible;

use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, IntoResponseParts, Response, ResponseParts};
use http::StatusCode;
use http::header::RETRY_AFTER;
use http::request::Parts;

use crate::{BackgroundTask, BackgroundTasks, EnqueueError, Scope};

impl<S: Send + Sync> FromRequestParts<S> for BackgroundTasks {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::current())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Scope {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::current())
    }
}

impl IntoResponseParts for BackgroundTask {
    type Error = EnqueueError;

    fn into_response_parts(self, response: ResponseParts) -> Result<ResponseParts, EnqueueError> {
        self.enqueue()?;
        Ok(response)
    }
}

impl IntoResponse for EnqueueError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = (status == StatusCode::SERVICE_UNAVAILABLE).then_some([(RETRY_AFTER, "1")]);
        (status, retry_after, self.to_string()).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_asks_the_client_to_come_back() {
        let response = EnqueueError::QueueFull { limit: 1 }.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[RETRY_AFTER], "1");
    }

    #[test]
    fn arguments_too_large_are_not_to_be_sent_again() {
        let response = EnqueueError::ArgsTooLarge { limit: 1 }.into_response();
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert!(!response.headers().contains_key(RETRY_AFTER));
    }
}
