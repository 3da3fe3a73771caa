//! The HTTP client for the collector. The client blocks its thread, because OpenTelemetry's exporters run on separate
//! threads without an event loop. A client that needs an event loop would hang or panic on the exporters' threads.

use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use ureq::Agent;

/// The largest number of bytes that the client reads of one answer from the collector.
const MAX_ANSWER: u64 = 4 << 20;

/// Sends requests to the collector, one at a time.
#[derive(Debug)]
pub(super) struct Client(Agent);

impl Client {
    /// Makes a client that waits at most `timeout` for each answer. The client uses the proxy that the process's
    /// environment variables name.
    pub(super) fn new(timeout: Duration) -> Self {
        let config = Agent::config_builder().timeout_global(Some(timeout)).http_status_as_error(false).build();
        Self(config.into())
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let (parts, mut body) = self.0.run(Request::from_parts(parts, &body[..]))?.into_parts();
        let body = body.with_config().limit(MAX_ANSWER).read_to_vec()?;
        Ok(Response::from_parts(parts, body.into()))
    }
}
