//! Implements axum's traits, so that this crate's types can be extractors and responses of axum 0.8.

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
    fn a_host_that_shuts_down_asks_the_client_to_come_back() {
        let response = EnqueueError::ShuttingDown.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[RETRY_AFTER], "1");
    }

    #[test]
    fn a_limit_is_the_guest_s_fault_and_no_retry_helps() {
        for error in [EnqueueError::QueueFull { limit: 1 }, EnqueueError::ArgsTooLarge { limit: 1 }] {
            let response = error.into_response();
            assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
            assert!(!response.headers().contains_key(RETRY_AFTER));
        }
    }
}
