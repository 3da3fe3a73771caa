//! When is a response *sent*? (S2)
//!
//! Tasks may start once the operating system has taken the response's last byte. Neither the body nor hyper says when
//! that is: hyper stops polling a body whose length it knows, and buffers what it took. So three observers work
//! together, on HTTP/1 and HTTP/2 alike:
//!
//! - [`TrackedBody`] sees the body end, and ends it with an empty frame so that HTTP/2's END_STREAM rides on a
//!   buffer too;
//! - [`TrackedBuf`] wraps each buffer handed to hyper, and sees it consumed or thrown away;
//! - [`TrackedIo`] wraps the connection. hyper flushes it only when its own buffers are empty, so once the body has
//!   ended and all buffers are consumed, the connection's next successful flush means *sent*.
//!
//! 'Sent' is therefore 'in the kernel': what a client does with bytes that wait in its receive buffer is not known.
//!
//! The same observers see a client that takes nothing more, and a guest that writes nothing more, which [`Sent`] gives up on.

mod buffer;
mod io;
mod patience;
mod stall;
mod standstill;
mod unflushed;

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::bindings::ResponseOutcome;
use crate::incoming::Upload;
use crate::record::cut;
use buffer::Fence;

pub(crate) use buffer::TrackedBuf;
pub(crate) use io::TrackedIo;
pub(crate) use patience::Patience;
pub(crate) use unflushed::Unflushed;

/// How far one response has come.
struct Delivery {
    connection: Unflushed,
    /// Buffers that hyper holds.
    held: AtomicUsize,
    /// Whether the body was read to its end.
    ended: AtomicBool,
    /// Whether hyper was last told that the guest has nothing more yet.
    starved: AtomicBool,
    /// How often hyper came for more, or had a part of a buffer taken from it.
    moves: AtomicUsize,
    /// How often the guest gave more …
    frames: AtomicUsize,
    /// … and the connection's flushes until it last did.
    flushes: AtomicUsize,
    /// Whether the connection serves nothing else meanwhile, as on HTTP/1.
    alone: bool,
    /// Why the guest will produce no more of the body.
    broken: Mutex<Option<String>>,
    outcome: Mutex<Option<oneshot::Sender<ResponseOutcome>>>,
}

impl Delivery {
    /// The first outcome is the outcome.
    fn settle(&self, outcome: ResponseOutcome) {
        if let Some(sender) = self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take() {
            _ = sender.send(outcome);
        }
    }

    /// It cannot be sent any more.
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

    /// Whether the client has been handed all that there is, and waits for more. What hyper has copied is not held, and is
    /// handed over with a flush. Once the response has ended it is a guest that computes which keeps the request there.
    fn is_up_to_the_guest(&self) -> bool {
        if self.outcome.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            return true;
        }
        let flushed = self.connection.flushes() != self.flushes.load(Relaxed);
        flushed && self.starved.load(Relaxed) && self.held.load(Relaxed) == 0
    }

    /// Called when the body is gone or a buffer is: is the connection's next flush all there is to wait for?
    fn check(self: &Arc<Self>) {
        if self.ended.load(Relaxed) && self.held.load(Relaxed) == 0 {
            self.connection.push(self);
        }
    }
}

/// Resolves when a response has been sent, or will not be.
pub(crate) struct Sent {
    delivery: Arc<Delivery>,
    outcome: oneshot::Receiver<ResponseOutcome>,
    patience: Option<Patience>,
    upload: Upload,
}

impl Sent {
    /// Waits for the end of the response.
    pub(crate) async fn outcome(&mut self) -> ResponseOutcome {
        let ended = match &self.patience {
            Some(patience) => patience.wait(&self.delivery, &mut self.outcome).await,
            None => (&mut self.outcome).await,
        };
        // Without a sender nobody is left who could deliver it.
        ended.unwrap_or_else(|_| self.delivery.connection.loss())
    }

    /// Ends the body with an error where the guest, which is gone, stopped writing: without it one of unknown length would look
    /// complete. Returns the response's end unless it is this: the client or the host had left before, or the guest had written all.
    pub(crate) async fn break_off(&mut self, reason: &str) -> Option<ResponseOutcome> {
        if let Ok(ended) = self.outcome.try_recv() {
            return Some(ended);
        }
        *self.delivery.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        let ended = self.outcome().await;
        self.delivery.ended.load(Relaxed).then_some(ended)
    }

    /// Limits how long the client may take nothing of it, and excuses a guest that waits for more of the `upload`.
    pub(crate) fn limit(&mut self, patience: Patience, upload: Upload) {
        self.patience = Some(patience);
        self.upload = upload;
    }

    /// Records that hyper, which has dropped the request, will not take the response.
    pub(crate) fn refuse(&self) {
        self.delivery.lose();
    }
}

/// Wraps `response`, which answers a `method` request of this HTTP version, so that its delivery over `connection` is seen.
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
        flushes: AtomicUsize::new(connection.flushes()),
        alone: version < Version::HTTP_2,
        broken: Mutex::new(None),
        outcome: Mutex::new(Some(sender)),
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

/// How many bytes were announced.
fn length(headers: &HeaderMap, body: &WasiBody) -> Option<u64> {
    let header = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    header.or(body.size_hint().exact())
}

/// Why a body is not the one that its head announced.
fn misfit(written: u64, length: u64) -> String {
    format!("the guest wrote {written} bytes of a body whose content-length is {length}")
}

/// A response body that sees its own end.
pub(crate) struct TrackedBody {
    /// None where the response must not have a body.
    inner: Option<WasiBody>,
    /// What is announced where there is none.
    hint: SizeHint,
    /// Its length, where known …
    announced: Option<u64>,
    /// … and how much of it is still to come.
    remaining: Option<u64>,
    /// Whether hyper, as on HTTP/1, drops the body, unpolled, once all these bytes have gone by.
    dropped_early: bool,
    /// Whether the empty last frame has been handed out.
    sealed: bool,
    /// Why it breaks off here.
    failure: Option<Error>,
    delivery: Arc<Delivery>,
}

impl TrackedBody {
    fn buffer(&self, bytes: Bytes) -> Frame<TrackedBuf> {
        Frame::data(TrackedBuf::new(bytes, &self.delivery))
    }

    /// Ends it with an error, once hyper has had the opportunity to send what came before, which it would throw away.
    fn fail(&mut self, error: Error, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<TrackedBuf>, Error>>> {
        let reason = match (&error, self.announced) {
            (Error::HttpResponseBodySize(Some(written)), Some(length)) => misfit(*written, length),
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
        let polled = match &mut self.inner {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        };
        self.delivery.starved.store(polled.is_pending(), Relaxed);
        self.delivery.moved();
        let frame = ready!(polled);
        self.delivery.given();
        Poll::Ready(Some(match frame {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) => {
                    if let Some(remaining) = &mut self.remaining {
                        *remaining = remaining.saturating_sub(bytes.len() as u64);
                    }
                    Ok(self.buffer(bytes))
                }
                Err(frame) => {
                    // Trailers end the stream by themselves, but nothing can be fenced in none.
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
    /// Makes one of the trailers hold a buffer until it is encoded, since no buffer of ours follows trailers.
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
