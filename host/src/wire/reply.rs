//! Sends a response to the client.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::AbortHandle;
use http::request::Parts;
use http::{Method, Response, Version};
use tokio::sync::oneshot::{self, error::RecvError};
use tokio::time::sleep;
use wasmtime_wasi_http::WasiBody;

use crate::budget::address::Address;
use crate::wire::activity::Activity;
use crate::wire::incoming::{BadUpload, Upload};
use crate::wire::sent::{self, Patience, Sent, TrackedBody, Unflushed};

/// How often the host checks whether the client of a request with a body is still there.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The data that the requests of one connection share.
#[derive(Clone)]
pub(crate) struct ConnectionShared {
    pub(crate) unflushed: Unflushed,
    pub(crate) activity: Rc<Activity>,
    /// How long the client may read nothing of a response before it counts as gone.
    pub(crate) send_timeout: Duration,
    /// Whether the client has closed its side of the connection, even if not all that it sent has been read.
    pub(crate) has_left: Rc<dyn Fn() -> bool>,
}

/// Sends the response of one request to the client.
pub(crate) struct Reply {
    unflushed: Unflushed,
    patience: Patience,
    upload: Upload,
    has_left: Rc<dyn Fn() -> bool>,
    method: Method,
    version: Version,
    response: oneshot::Sender<Response<TrackedBody>>,
}

impl Reply {
    /// Makes the reply for `request`. Also returns the other end, from which hyper's task `sender` takes the response.
    pub(crate) fn new(
        shared: ConnectionShared,
        sender: AbortHandle,
        request: &Parts,
        upload: Upload,
    ) -> (Self, Awaited) {
        let (response, receiver) = oneshot::channel();
        let awaited = Awaited { receiver, answered: false, activity: shared.activity.clone() };
        let reply = Self {
            patience: Patience::new(shared.send_timeout, sender, shared.activity.begin()),
            upload,
            has_left: shared.has_left,
            unflushed: shared.unflushed,
            method: request.method.clone(),
            version: request.version,
            response,
        };
        (reply, awaited)
    }

    /// Why the request's body broke off, or none if it did not.
    pub(crate) fn bad_upload(&self) -> Option<BadUpload> {
        self.upload.failure()
    }

    /// The counts of the client's address.
    pub(crate) fn address(&self) -> &Arc<Address> {
        &self.patience.at_work.activity().address
    }

    /// Whether the client has more than `max` requests at work on this connection because it has left some of them.
    pub(crate) fn is_over(&self, max: usize) -> bool {
        self.patience.at_work.activity().is_over(max)
    }

    /// Returns when the client has left.
    pub(crate) async fn left(&mut self) {
        // hyper reads nothing of an HTTP/1 connection while the guest leaves a request's body unread, and the system
        // wakes nobody for the end of what is unread. The timer is not set for a handler that returns at once.
        let unread = async {
            while !(self.has_left)() {
                sleep(LOOK_AGAIN).await;
            }
        };
        tokio::select! {
            () = self.response.closed() => {}
            () = unread, if self.upload.is_some() && self.version < Version::HTTP_2 => {}
        }
    }

    /// Passes the response to hyper. The returned value tells when the response has been sent.
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

/// The response that hyper waits for. hyper drops it early if the client leaves, or its stream is reset.
pub(crate) struct Awaited {
    receiver: oneshot::Receiver<Response<TrackedBody>>,
    answered: bool,
    activity: Rc<Activity>,
}

impl Future for Awaited {
    type Output = Result<Response<TrackedBody>, RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = Pin::new(&mut self.receiver).poll(cx);
        self.answered = polled.is_ready();
        polled
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if !self.answered {
            self.activity.leave();
        }
    }
}
