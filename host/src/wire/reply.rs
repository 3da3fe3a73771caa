//! Sends the response to a request.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use epilogue_manifest::values::RequestId;
use futures::future::AbortHandle;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, Version};
use http_body::Body as _;
use tokio::sync::oneshot::{self, error::RecvError};
use tokio::time::{Instant, sleep};
use wasmtime_wasi_http::WasiBody;

use crate::budget::address::Address;
use crate::tasks::live::Live;
use crate::tasks::observer::Observer;
use crate::tasks::timeline::Shared;
use crate::wire::activity::Activity;
use crate::wire::incoming::{BadUpload, Upload};
use crate::wire::sent::{self, Patience, Sent, TrackedBody, Unflushed};

/// The header that contains a request's id. Many proxies and frameworks use the same header.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest request id that the host accepts from a client, in bytes.
const MAX_ID: usize = 128;
/// The time between two checks whether the client is still connected. The host checks only the connections of HTTP/1
/// requests with a body.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The data that the requests of one connection share.
#[derive(Clone)]
pub(crate) struct ConnectionShared {
    pub(crate) unflushed: Unflushed,
    pub(crate) activity: Rc<Activity>,
    /// If the client reads nothing of a response for this time, the host treats the client as gone.
    pub(crate) send_timeout: Duration,
    /// Reports whether the client has closed its side of the connection. The function also works if the host has not
    /// read everything that the client sent.
    pub(crate) has_left: Rc<dyn Fn() -> bool>,
    /// Has the readers, such as the dashboard, that get the timelines of requests.
    pub(crate) observer: Rc<Observer>,
    /// How the host sets the header `x-request-id`.
    pub(crate) request_id: RequestId,
}

/// Sends the response of one request to the client.
pub(crate) struct Reply {
    /// The time at which the request arrived.
    pub(crate) arrived: Instant,
    unflushed: Unflushed,
    patience: Patience,
    upload: Upload,
    has_left: Rc<dyn Fn() -> bool>,
    method: Method,
    version: Version,
    response: oneshot::Sender<Response<TrackedBody>>,
    /// The request's timeline. The value is `None` if no reader wants the timeline, or if a component serves the
    /// request.
    pub(crate) timeline: Option<Arc<Shared>>,
    observer: Rc<Observer>,
    /// The value of the response's header `x-request-id`. The value is `None` if the host does not set the header.
    request_id: Option<HeaderValue>,
    mode: RequestId,
}

impl Reply {
    /// Makes the value that sends the response to `request`, and the future from which hyper gets the response.
    /// `arrived` is the time at which the request arrived. `timeline` must be set if a reader wants the request's
    /// timeline. `sender` can abort the tokio task that sends the response.
    pub(crate) fn new(
        shared: ConnectionShared,
        sender: AbortHandle,
        arrived: Instant,
        request: &Parts,
        upload: Upload,
        timeline: Option<Arc<Shared>>,
    ) -> (Self, Awaited) {
        let request_id = match shared.request_id {
            RequestId::Trust => clients_id(&request.headers).cloned(),
            RequestId::Return | RequestId::Off => None,
        };
        if let Some((shared, id)) = timeline.as_ref().zip(request_id.as_ref()) {
            let mut timeline = shared.lock();
            let id = id.to_str().ok().map(|id| timeline.keep(id));
            timeline.facts.asked.iter_mut().for_each(|asked| asked.request_id = id);
        }
        let (response, receiver) = oneshot::channel();
        let awaited = Awaited { receiver, answered: false, activity: shared.activity.clone() };
        let reply = Self {
            arrived,
            patience: Patience::new(shared.send_timeout, sender, shared.activity.begin()),
            upload,
            has_left: shared.has_left,
            unflushed: shared.unflushed,
            method: request.method.clone(),
            version: request.version,
            response,
            timeline,
            observer: shared.observer,
            request_id,
            mode: shared.request_id,
        };
        (reply, awaited)
    }

    /// Returns the reason why the host did not get the whole request body. Returns `None` if no error has occurred.
    pub(crate) fn bad_upload(&self) -> Option<BadUpload> {
        self.upload.failure()
    }

    /// Returns the value that counts the connections and requests of the client's address.
    pub(crate) fn address(&self) -> &Arc<Address> {
        &self.patience.at_work.activity().address
    }

    /// Reports whether the client has given up requests on this connection, and the connection still has more than
    /// `max` running requests.
    pub(crate) fn is_over(&self, max: usize) -> bool {
        self.patience.at_work.activity().is_over(max)
    }

    /// Waits until the client has closed the connection or has reset the request's stream.
    pub(crate) async fn left(&mut self) {
        // While a guest does not read a request's body, hyper reads nothing from an HTTP/1 connection, so hyper does
        // not see the connection's end. Therefore, the host checks the connection at intervals. If the handler returns
        // at once, the host makes no check.
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

    /// Sets the response's header `x-request-id` to `id`, unless the host sends no such header, or the header already
    /// has the client's id.
    pub(crate) fn identify(&mut self, id: &str) {
        if self.request_id.is_none() && self.mode != RequestId::Off {
            self.request_id = HeaderValue::from_str(id).ok();
        }
    }

    /// Passes the response to hyper. The returned value waits until the response has been sent or has failed.
    pub(crate) fn send(mut self, mut response: Response<WasiBody>) -> Sent {
        if let Some(id) = self.request_id.take() {
            response.headers_mut().entry(X_REQUEST_ID).or_insert(id);
        }
        if let Some(shared) = self.timeline.take() {
            let mut timeline = shared.lock();
            // A timeline that is still here shows that no component has served the request.
            timeline.responds(response.status(), Instant::now().into_std());
            timeline.facts.bytes = response.body().size_hint().exact().unwrap_or_default();
            self.observer.readers.each(|reader| reader.answered(&timeline));
            drop(timeline);
            Live::recycle(shared);
        }
        let (response, mut sent) = sent::track(&self.unflushed, &self.method, self.version, response);
        sent.limit(self.patience, self.upload);
        if self.response.is_closed() {
            // If hyper has dropped the request, the client is gone.
            sent.refuse();
        }
        _ = self.response.send(response);
        sent
    }
}

/// Returns the request id that the client has sent. Returns `None` if the id is longer than [`MAX_ID`] or contains
/// other characters than visible ASCII characters.
fn clients_id(headers: &HeaderMap) -> Option<&HeaderValue> {
    let id = headers.get(X_REQUEST_ID)?;
    (!id.is_empty() && id.len() <= MAX_ID && id.as_bytes().iter().all(u8::is_ascii_graphic)).then_some(id)
}

/// The future from which hyper gets the response. If the client leaves or resets the stream before the host has a
/// response, hyper drops the future.
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
