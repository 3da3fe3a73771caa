//! The way back to the client.

use std::rc::Rc;
use std::time::Duration;

use futures::future::AbortHandle;
use http::request::Parts;
use http::{Method, Response, Version};
use tokio::sync::oneshot;
use wasmtime_wasi_http::WasiBody;

use crate::wire::activity::Activity;
use crate::wire::incoming::{BadUpload, Upload};
use crate::wire::sent::{self, Patience, Sent, TrackedBody, Unflushed};

/// What the requests of one connection share.
#[derive(Clone)]
pub(crate) struct ConnectionShared {
    pub(crate) unflushed: Unflushed,
    pub(crate) activity: Rc<Activity>,
    /// How long the client may read nothing of a response before it counts as gone.
    pub(crate) send_timeout: Duration,
}

/// The way back to the client for one request's response.
pub(crate) struct Reply {
    unflushed: Unflushed,
    patience: Patience,
    upload: Upload,
    method: Method,
    version: Version,
    response: oneshot::Sender<Response<TrackedBody>>,
}

impl Reply {
    /// Makes the way back for `request`. Returns it and its other end, from which hyper's task `sender` takes the
    /// response.
    pub(crate) fn new(
        shared: ConnectionShared,
        sender: AbortHandle,
        request: &Parts,
        upload: Upload,
    ) -> (Self, oneshot::Receiver<Response<TrackedBody>>) {
        let (response, receiver) = oneshot::channel();
        let reply = Self {
            patience: Patience::new(shared.send_timeout, sender, shared.activity.begin()),
            upload,
            unflushed: shared.unflushed,
            method: request.method.clone(),
            version: request.version,
            response,
        };
        (reply, receiver)
    }

    /// Why the request's body broke off, or none if it did not.
    pub(crate) fn bad_upload(&self) -> Option<BadUpload> {
        self.upload.failure()
    }

    /// Hands the response to hyper. The returned value tells when the response has been sent.
    pub(crate) fn send(self, response: Response<WasiBody>) -> Sent {
        let (response, mut sent) = sent::track(&self.unflushed, &self.method, self.version, response);
        sent.limit(self.patience, self.upload);
        if self.response.is_closed() {
            // hyper has dropped the request: the client is gone.
            sent.refuse();
        }
        _ = self.response.send(response);
        sent
    }
}
