//! Finds out when a response is *sent* (S2).
//!
//! Tasks may start when the operating system has taken the response's last byte. Neither the body nor hyper tells this
//! time. If hyper knows the length of a body, it stops polling the body at the end, and it buffers the data. So three
//! observers work together, for HTTP/1 and HTTP/2:
//!
//! - [`TrackedBody`] sees the end of the body. It ends the body with an empty frame, so that a buffer also carries
//!   HTTP/2's END_STREAM;
//! - [`TrackedBuf`] wraps each buffer that hyper gets, and sees when hyper has consumed or dropped it;
//! - [`TrackedIo`] wraps the connection. hyper flushes the connection only when its own buffers are empty. So after the
//!   body has ended and all buffers are consumed, the connection's next successful flush means *sent*.
//!
//! So *sent* means that the kernel has the bytes. The host does not know whether the client has read them.
//!
//! The same observers see when a client takes nothing more, and when a guest writes nothing more. [`Sent`] then ends
//! the response.

mod buffer;
mod io;
mod patience;
mod stall;
mod standstill;
mod unflushed;

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use epilogue_rules::limits::cut;
use epilogue_rules::words::wrong_length;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::budget::requests::Place;
use crate::contract::bindings::ResponseOutcome;
use crate::wire::incoming::Upload;
use buffer::Fence;

pub(crate) use buffer::TrackedBuf;
pub(crate) use io::TrackedIo;
pub(crate) use patience::Patience;
pub(crate) use unflushed::Unflushed;

/// The state of one response.
struct Delivery {
    connection: Unflushed,
    /// How many of the response's buffers hyper holds.
    held: AtomicUsize,
    /// Whether hyper has read the body to its end.
    ended: AtomicBool,
    /// Whether the body had nothing ready when hyper last asked for more.
    starved: AtomicBool,
    /// How often hyper asked for more of the body, or took a part of a buffer.
    moves: AtomicUsize,
    /// How many frames of the body the guest has written.
    frames: AtomicUsize,
    /// How many bytes of the body the guest has written.
    bytes: AtomicU64,
    /// The number of flushes of the connection when the guest wrote its last frame.
    flushes: AtomicUsize,
    /// Whether the connection sends no other response at the same time, as on HTTP/1.
    alone: bool,
    /// The reason why the guest will write no more of the body. None while it may still write.
    broken: Mutex<Option<String>>,
    end: Mutex<Option<End>>,
}

/// The actions at the end of a response.
struct End {
    outcome: oneshot::Sender<ResponseOutcome>,
    /// The request's place, which then counts as draining.
    place: Option<Arc<Place>>,
}

impl Delivery {
    /// Settles the response's outcome. Only the first outcome counts.
    fn settle(&self, outcome: ResponseOutcome) {
        if let Some(end) = self.end().take() {
            if let Some(place) = end.place {
                place.drain();
            }
            _ = end.outcome.send(outcome);
        }
    }

    /// The actions at the response's end. None after it has ended.
    fn end(&self) -> MutexGuard<'_, Option<End>> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Settles the outcome of a response that can no longer be sent.
    fn lose(&self) {
        self.settle(self.connection.loss());
    }

    fn moved(&self) {
        self.moves.fetch_add(1, Relaxed);
    }

    fn given(&self) {
        self.frames.fetch_add(1, Relaxed);
        self.flushes.store(self.connection.flushes(), Relaxed);
    }

    /// Whether the response waits for the guest: the client has everything that the guest has written, or the response
    /// has ended and the guest still computes. hyper copies some buffers. These have left only after the connection's
    /// next flush, so a flush must have happened since the guest's last frame.
    fn is_up_to_the_guest(&self) -> bool {
        if self.end().is_none() {
            return true;
        }
        let flushed = self.connection.flushes() != self.flushes.load(Relaxed);
        flushed && self.starved.load(Relaxed) && self.held.load(Relaxed) == 0
    }

    /// Checks whether the response counts as sent with the connection's next flush. Called when the body or a buffer is
    /// dropped.
    fn check(self: &Arc<Self>) {
        if self.ended.load(Relaxed) && self.held.load(Relaxed) == 0 {
            self.connection.push(self);
        }
    }
}

/// Waits for a response and tells its outcome, when the response has been sent or has failed.
pub(crate) struct Sent {
    delivery: Arc<Delivery>,
    outcome: oneshot::Receiver<ResponseOutcome>,
    patience: Option<Patience>,
    upload: Upload,
}

impl Sent {
    /// Waits for the end of the response, and returns its outcome.
    pub(crate) async fn outcome(&mut self) -> ResponseOutcome {
        let ended = match &self.patience {
            Some(patience) => patience.wait(&self.delivery, &mut self.outcome).await,
            None => (&mut self.outcome).await,
        };
        // Without the sender, the response can no longer be sent.
        ended.unwrap_or_else(|_| self.delivery.connection.loss())
    }

    /// Ends the body with an error, because the guest died while it wrote the body. Without the error, a body of
    /// unknown length would look complete. Returns none if the response ended in this way. Otherwise returns the
    /// outcome: the client or the host had left before, or the body was complete.
    pub(crate) async fn break_off(&mut self, reason: &str) -> Option<ResponseOutcome> {
        if let Ok(ended) = self.outcome.try_recv() {
            return Some(ended);
        }
        *self.delivery.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        let ended = self.outcome().await;
        self.delivery.ended.load(Relaxed).then_some(ended)
    }

    /// Limits how long the client may read nothing of the response. Also sets `upload`, the request's body: a guest
    /// that waits for more of it does not count as stalled.
    pub(crate) fn limit(&mut self, patience: Patience, upload: Upload) {
        self.patience = Some(patience);
        self.upload = upload;
    }

    /// How many bytes of the body the guest has written so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.delivery.bytes.load(Relaxed)
    }

    /// Counts the request in this place as draining as soon as the response has ended.
    pub(crate) fn free(&self, place: Arc<Place>) {
        match &mut *self.delivery.end() {
            Some(end) => end.place = Some(place),
            None => place.drain(),
        }
    }

    /// Settles the outcome of a response that hyper does not take, because hyper has dropped the request.
    pub(crate) fn refuse(&self) {
        self.delivery.lose();
    }
}

/// Wraps `response` so that its delivery over `connection` is observed. It answers a request of this method and HTTP
/// version.
pub(crate) fn track(
    connection: &Unflushed,
    method: &Method,
    version: Version,
    response: Response<WasiBody>,
) -> (Response<TrackedBody>, Sent) {
    let (sender, outcome) = oneshot::channel();
    let delivery = Arc::new(Delivery {
        connection: connection.clone(),
        held: AtomicUsize::new(0),
        ended: AtomicBool::new(false),
        starved: AtomicBool::new(false),
        moves: AtomicUsize::new(0),
        frames: AtomicUsize::new(0),
        bytes: AtomicU64::new(0),
        flushes: AtomicUsize::new(connection.flushes()),
        alone: version < Version::HTTP_2,
        broken: Mutex::new(None),
        end: Mutex::new(Some(End { outcome: sender, place: None })),
    });
    let (parts, body) = response.into_parts();
    // hyper's HTTP/2 side would send such a body, which RFC 9110 section 6.4.1 forbids.
    let reset = parts.status == StatusCode::RESET_CONTENT;
    let bodyless =
        reset || *method == Method::HEAD || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let announced = if bodyless { Some(0) } else { length(&parts.headers, &body) };
    let body = TrackedBody {
        announced,
        remaining: announced,
        // The headers of an answer to HEAD are those of an answer to GET. 205 has a length, which is 0; the others have none.
        hint: match *method {
            _ if reset => SizeHint::with_exact(0),
            Method::HEAD if !matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) => {
                body.size_hint()
            }
            _ => SizeHint::default(),
        },
        inner: (!bodyless).then_some(body),
        dropped_early: delivery.alone,
        sealed: false,
        failure: None,
        delivery: delivery.clone(),
    };
    (Response::from_parts(parts, body), Sent { delivery, outcome, patience: None, upload: Upload::default() })
}

/// The length of the body in bytes: its `content-length`, or else the length that the body itself reports. None if
/// neither is known.
fn length(headers: &HeaderMap, body: &WasiBody) -> Option<u64> {
    let header = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    header.or(body.size_hint().exact())
}

/// A response body that observes its own end.
pub(crate) struct TrackedBody {
    /// The guest's body. None if the response must not have one.
    inner: Option<WasiBody>,
    /// The length to announce for a response without a body.
    hint: SizeHint,
    /// The body's length in bytes, if it is known.
    announced: Option<u64>,
    /// How many bytes of the body are still to come, if its length is known.
    remaining: Option<u64>,
    /// Whether hyper drops the body without another poll after the announced number of bytes, as on HTTP/1.
    dropped_early: bool,
    /// Whether hyper has got the empty last frame.
    sealed: bool,
    /// The error that ends the body at the next poll.
    failure: Option<Error>,
    delivery: Arc<Delivery>,
}

impl TrackedBody {
    /// Polls the guest's body, and skips empty pieces. hyper would queue an HTTP/2 frame for each without waiting for
    /// room, so a guest could fill the host's memory with them (GHSA-f8mm-ggr3-89wh).
    fn poll_guest(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(body) = &mut self.inner else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        let empty = |frame: &Frame<Bytes>| frame.data_ref().is_some_and(Bytes::is_empty);
        if matches!(&polled, Poll::Ready(Some(Ok(frame))) if empty(frame)) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        polled
    }

    fn buffer(&self, bytes: Bytes) -> Frame<TrackedBuf> {
        Frame::data(TrackedBuf::new(bytes, &self.delivery))
    }

    /// Ends the body with an error at the next poll. So hyper can first send the earlier data, which it would drop at
    /// an error.
    fn fail(&mut self, error: Error, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<TrackedBuf>, Error>>> {
        let reason = match (&error, self.announced) {
            (Error::HttpResponseBodySize(Some(written)), Some(length)) => wrong_length(*written, length),
            _ => error.to_string(),
        };
        self.delivery.settle(ResponseOutcome::ResponseFailed(cut(reason)));
        self.failure = Some(error);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Body for TrackedBody {
    type Data = TrackedBuf;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<TrackedBuf>, Error>>> {
        if self.sealed {
            return Poll::Ready(None);
        }
        if let Some(failure) = self.failure.take() {
            return Poll::Ready(Some(Err(failure)));
        }
        let polled = self.poll_guest(cx);
        self.delivery.starved.store(polled.is_pending(), Relaxed);
        self.delivery.moved();
        let frame = ready!(polled);
        self.delivery.given();
        Poll::Ready(Some(match frame {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) => {
                    self.delivery.bytes.fetch_add(bytes.len() as u64, Relaxed);
                    if let Some(remaining) = &mut self.remaining {
                        *remaining = remaining.saturating_sub(bytes.len() as u64);
                    }
                    Ok(self.buffer(bytes))
                }
                Err(frame) => {
                    // Trailers end the stream by themselves. But a buffer cannot be attached if there are no trailers.
                    self.sealed = true;
                    Ok(match frame.into_trailers() {
                        Ok(trailers) if !trailers.is_empty() => Frame::trailers(self.fence(trailers)),
                        _ => self.buffer(Bytes::new()),
                    })
                }
            },
            Some(Err(error)) => return self.fail(error, cx),
            None => {
                let broken = self.delivery.broken.lock().unwrap_or_else(PoisonError::into_inner).take();
                let missing = self.announced.zip(self.remaining.filter(|missing| *missing > 0));
                let error = match (broken, missing) {
                    (Some(reason), _) => Some(Error::InternalError(Some(reason))),
                    (None, Some((length, missing))) => Some(Error::HttpResponseBodySize(Some(length - missing))),
                    (None, None) => None,
                };
                match error {
                    Some(error) => return self.fail(error, cx),
                    None => {
                        self.sealed = true;
                        Ok(self.buffer(Bytes::new()))
                    }
                }
            }
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.sealed
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Some(body) => body.size_hint(),
            None => self.hint,
        }
    }
}

impl TrackedBody {
    /// Attaches a buffer to one of the trailers until hyper has encoded it. No buffer of the body follows the trailers,
    /// so this buffer shows when they are encoded.
    fn fence(&self, mut trailers: HeaderMap) -> HeaderMap {
        if let Some(value) = trailers.values_mut().next() {
            let fence = Fence(TrackedBuf::new(Bytes::new(), &self.delivery), value.clone());
            if let Ok(mut fenced) = HeaderValue::from_maybe_shared(Bytes::from_owner(fence)) {
                // HTTP/2 would keep a copy of any other value in its compression table.
                fenced.set_sensitive(true);
                *value = fenced;
            }
        }
        trailers
    }
}

impl Drop for TrackedBody {
    fn drop(&mut self) {
        if self.sealed || (self.dropped_early && self.remaining == Some(0)) {
            self.delivery.ended.store(true, Relaxed);
            self.delivery.check();
        } else {
            self.delivery.lose();
        }
    }
}

#[cfg(test)]
mod tests;
