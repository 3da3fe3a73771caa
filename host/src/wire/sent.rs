//! Finds out when a response is *sent* (promise S2).
//!
//! Tasks may start when the operating system has taken the response's last byte. hyper buffers the response, and does
//! not report when the operating system has taken the last byte. If hyper knows the body's length, hyper does not even
//! poll the body to its end. Therefore, three observers together find out when the operating system has taken the last
//! byte, for HTTP/1 and HTTP/2:
//!
//! - [`TrackedBody`] sees the end of the body. [`TrackedBody`] adds an empty frame at the end, so that in HTTP/2 a
//!   tracked buffer carries the flag `END_STREAM`.
//! - [`TrackedBuf`] wraps each buffer that hyper gets, and sees when hyper has consumed or dropped the buffer.
//! - [`TrackedIo`] wraps the connection. hyper flushes the connection only when hyper's own buffers are empty. So the
//!   response is *sent* when the body has ended, hyper has consumed all buffers, and hyper then flushes the connection
//!   successfully.
//!
//! The kernel has all bytes of a *sent* response. The host does not know whether the client has read these bytes.
//!
//! The three observers also see when a client stops reading, and when a guest stops writing. If a client reads nothing
//! for too long, or a guest writes nothing for too long, [`Sent`] ends the response.

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
    /// The number of buffers of this response that hyper still holds.
    held: AtomicUsize,
    /// True if hyper has read the body to its end.
    ended: AtomicBool,
    /// True if the body had no data ready when hyper last asked for more.
    starved: AtomicBool,
    /// The number of times that hyper has asked for more of the body or has taken a part of a buffer.
    moves: AtomicUsize,
    /// The number of pieces of the body that the guest has written.
    frames: AtomicUsize,
    /// The number of bytes of the body that the guest has written.
    bytes: AtomicU64,
    /// The number of flushes of the connection at the time when the guest wrote the newest piece of the body.
    flushes: AtomicUsize,
    /// True if the connection sends one response at a time, as with HTTP/1.
    alone: bool,
    /// The reason why the guest can write no more of the body. The value is `None` while the guest can write.
    broken: Mutex<Option<String>>,
    end: Mutex<Option<End>>,
}

/// The data that the host needs when a response ends.
struct End {
    outcome: oneshot::Sender<ResponseOutcome>,
    /// Counts the request as running until the response ends, and from then on as draining.
    place: Option<Arc<Place>>,
}

impl Delivery {
    /// Sets the final outcome of the response. Only the first call for a response has an effect.
    fn settle(&self, outcome: ResponseOutcome) {
        if let Some(end) = self.end().take() {
            if let Some(place) = end.place {
                place.drain();
            }
            _ = end.outcome.send(outcome);
        }
    }

    /// Locks the data that the host needs when the response ends. After the response has ended, these data are `None`.
    fn end(&self) -> MutexGuard<'_, Option<End>> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the final outcome of a response that can no longer be sent.
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

    /// Reports whether the host is waiting for the guest, and not for the client. After the response has ended, the
    /// host waits for the guest to return. Before that, the host waits for the guest to write more if the operating
    /// system has taken everything that the guest has written. hyper may keep copies of a buffer's bytes until the next
    /// flush. Therefore, as long as the response has not ended, the result is true only if hyper has flushed the
    /// connection since the guest wrote its newest piece.
    fn is_up_to_the_guest(&self) -> bool {
        if self.end().is_none() {
            return true;
        }
        let flushed = self.connection.flushes() != self.flushes.load(Relaxed);
        flushed && self.starved.load(Relaxed) && self.held.load(Relaxed) == 0
    }

    /// If the body has ended and hyper holds no buffer, the response counts as sent at the connection's next flush. The
    /// host calls this function when the body or a buffer is dropped.
    fn check(self: &Arc<Self>) {
        if self.ended.load(Relaxed) && self.held.load(Relaxed) == 0 {
            self.connection.push(self);
        }
    }
}

/// Waits until a response has been sent or has failed, and returns its outcome.
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
        // If the other side of the channel was dropped, the response can no longer be sent.
        ended.unwrap_or_else(|_| self.delivery.connection.loss())
    }

    /// Ends the body with an error, because the guest was interrupted before it had written the whole body. Without the
    /// error, a body of unknown length would look complete to the client. Returns `None` if the response ended because
    /// of the error. If the response had ended before this call, or the body was complete, returns the response's
    /// outcome.
    pub(crate) async fn break_off(&mut self, reason: &str) -> Option<ResponseOutcome> {
        if let Ok(ended) = self.outcome.try_recv() {
            return Some(ended);
        }
        *self.delivery.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        let ended = self.outcome().await;
        self.delivery.ended.load(Relaxed).then_some(ended)
    }

    /// Sets the limits for the client and the guest. `patience` limits how long the client may read nothing. `upload`
    /// is the state of the request's body. While the guest waits for more of the request's body, the limit for the
    /// guest does not apply.
    pub(crate) fn limit(&mut self, patience: Patience, upload: Upload) {
        self.patience = Some(patience);
        self.upload = upload;
    }

    /// Returns the number of bytes of the body that the guest has written so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.delivery.bytes.load(Relaxed)
    }

    /// Stores `place`, which counts the request as running until the response ends, and from then on as draining.
    pub(crate) fn free(&self, place: Arc<Place>) {
        match &mut *self.delivery.end() {
            Some(end) => end.place = Some(place),
            None => place.drain(),
        }
    }

    /// Sets the final outcome of a response that hyper does not take, because hyper has dropped the request.
    pub(crate) fn refuse(&self) {
        self.delivery.lose();
    }
}

/// Wraps `response`, so that the host can observe how `connection` delivers the response. `method` and `version` are
/// the method and the HTTP version of the request.
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
    // RFC 9110 section 6.4.1 forbids a body in a response with status 205, but hyper would send the body over HTTP/2.
    let reset = parts.status == StatusCode::RESET_CONTENT;
    let bodyless =
        reset || *method == Method::HEAD || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let announced = if bodyless { Some(0) } else { length(&parts.headers, &body) };
    let body = TrackedBody {
        announced,
        remaining: announced,
        // A response to HEAD announces the same length as a response to GET. A response with status 205 announces the
        // length 0, and a response with status 204 or 304 announces no length.
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

/// Returns the length of the body in bytes. This is the value of the header `content-length` or, without this header,
/// the length that the body itself reports. Returns `None` if the length is not known.
fn length(headers: &HeaderMap, body: &WasiBody) -> Option<u64> {
    let header = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    header.or(body.size_hint().exact())
}

/// A response body that reports to the host when it ends.
pub(crate) struct TrackedBody {
    /// The guest's body. The value is `None` if the response must not have a body.
    inner: Option<WasiBody>,
    /// The length that hyper announces for a response without a body.
    hint: SizeHint,
    /// The body's length in bytes. The value is `None` if the length is not known.
    announced: Option<u64>,
    /// The number of bytes of the body that the guest has not written yet. The value is `None` if the body's length is
    /// not known.
    remaining: Option<u64>,
    /// True if hyper drops the body right after the announced number of bytes, which is the case with HTTP/1.
    dropped_early: bool,
    /// True if hyper has received the empty last frame.
    sealed: bool,
    /// The error that ends the body at the next poll.
    failure: Option<Error>,
    delivery: Arc<Delivery>,
}

impl TrackedBody {
    /// Polls the guest's body, and skips empty pieces. If this function passed on empty pieces, hyper would queue an
    /// HTTP/2 frame for each piece without a limit, and a guest could fill the host's memory (GHSA-f8mm-ggr3-89wh).
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

    /// Ends the body with an error, but only at the next poll. If the body returned the error in this poll, hyper would
    /// drop the data that it has not sent yet.
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
                    // Trailers are the end of the stream, so no empty frame must follow. But if the map of trailers is
                    // empty, no trailer can carry a buffer, so an empty frame must end the stream.
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
    /// Attaches a tracked buffer to one of the trailers. The trailers are the last part of the body. When hyper has
    /// encoded the trailers, it drops the buffer, and so the host sees that hyper has taken the whole body.
    fn fence(&self, mut trailers: HeaderMap) -> HeaderMap {
        if let Some(value) = trailers.values_mut().next() {
            let fence = Fence(TrackedBuf::new(Bytes::new(), &self.delivery), value.clone());
            if let Ok(mut fenced) = HeaderValue::from_maybe_shared(Bytes::from_owner(fence)) {
                // HTTP/2's compression table would keep a copy of the value, and with the copy the buffer. The table
                // keeps no sensitive values.
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
