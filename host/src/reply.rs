//! The way back to the client.

use http::request::Parts;
use http::{Method, Response, Version};
use tokio::sync::oneshot;
use wasmtime_wasi_http::WasiBody;

use crate::sent::{self, Sent, TrackedBody, Unflushed};

/// Where one request's response goes.
pub(crate) struct Reply {
    connection: Unflushed,
    method: Method,
    version: Version,
    response: oneshot::Sender<Response<TrackedBody>>,
}

impl Reply {
    /// The way back over `connection` for `request`, and its other end.
    pub(crate) fn new(connection: Unflushed, request: &Parts) -> (Self, oneshot::Receiver<Response<TrackedBody>>) {
        let (sender, receiver) = oneshot::channel();
        let (method, version) = (request.method.clone(), request.version);
        (Self { connection, method, version, response: sender }, receiver)
    }

    /// Hands the response to hyper, and says when it has left.
    pub(crate) fn send(self, response: Response<WasiBody>) -> Sent {
        let (response, sent) = sent::track(&self.connection, &self.method, self.version, response);
        if self.response.is_closed() {
            // hyper has dropped the request: the client is gone.
            sent.refuse();
        }
        _ = self.response.send(response);
        sent
    }
}
