//! Limits the size of a request's body, and the time that the client may take between two parts of the body.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use epilogue_manifest::settings::Settings;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};
use wasmtime_wasi_http::Error;

use crate::budget::address::{Address, STALLED_AFTER, Stalled};
use crate::wire::sent::Unflushed;

/// Shows the state of a request's body to code that does not read the body itself. A request without a body has no
/// state.
///
/// A guest may keep the body ([`IncomingBody`]) after the body's request has ended. Therefore, the body has only a weak
/// reference to this state, so that the host drops the state at the end of the request. Without the state, the request
/// no longer counts as stalled.
#[derive(Clone, Default)]
pub(crate) struct Upload(Option<Arc<Observed>>);

struct Observed {
    connection: Unflushed,
    address: Arc<Address>,
    shared: Mutex<Shared>,
}

#[derive(Default)]
struct Shared {
    /// The time at which the guest stops waiting for more of the body, at the latest. The value is `None` while the
    /// guest does not wait.
    until: Option<Instant>,
    /// Counts the request as stalled for its client address. The value is `None` while the request is not stalled.
    stalled: Option<Stalled>,
    failure: Option<BadUpload>,
}

/// The reason why the host did not get the whole body of a request. Each reason is a fault of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadUpload {
    /// The body is larger than the component's `max-body-size`.
    TooLarge,
    /// The client sent no more bytes of the body within `body-timeout`.
    TooSlow,
    /// The body does not match the headers, or the client left before the body's end.
    Malformed,
}

impl BadUpload {
    /// Returns the status of the response to a request whose body failed for this reason. If the client has left,
    /// nobody gets the response.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Malformed => StatusCode::BAD_REQUEST,
        }
    }
}

impl std::fmt::Display for BadUpload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the client's body is larger than max-body-size",
            Self::TooSlow => "the client paused its body for longer than body-timeout",
            Self::Malformed => "the client's body is malformed, or broke off",
        })
    }
}

impl Upload {
    /// Makes the state of a request's body. The client sends the body over `connection`, from `address`.
    pub(crate) fn of(body: &impl Body, connection: &Unflushed, address: &Arc<Address>) -> Self {
        if body.is_end_stream() {
            connection.read_whole();
            return Self(None);
        }
        let (connection, address) = (connection.clone(), address.clone());
        Self(Some(Arc::new(Observed { connection, address, shared: Mutex::default() })))
    }

    /// Reports whether the guest may be waiting for more of the body. The host does not see when a guest stops waiting.
    /// Therefore, once a guest has begun to wait, the result stays true until `body-timeout` has passed or more of the
    /// body has arrived.
    pub(crate) fn is_awaited(&self) -> bool {
        self.shared(|shared| shared.until).flatten().is_some_and(|until| Instant::now() < until)
    }

    /// Returns the reason why the host did not get the whole body. Returns `None` if no error has occurred.
    pub(crate) fn failure(&self) -> Option<BadUpload> {
        self.shared(|shared| shared.failure).flatten()
    }

    /// Reports whether the request has a body.
    pub(crate) fn is_some(&self) -> bool {
        self.0.is_some()
    }

    fn shared<T>(&self, work: impl FnOnce(&mut Shared) -> T) -> Option<T> {
        self.0.as_ref().map(|upload| upload.shared(work))
    }
}

impl Observed {
    fn shared<T>(&self, work: impl FnOnce(&mut Shared) -> T) -> T {
        work(&mut self.shared.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A request's body, within the limits of the component's settings. If the client exceeds a limit, the body ends with
/// an error.
pub(crate) struct IncomingBody<B> {
    inner: B,
    max_size: Option<u64>,
    size: u64,
    /// The longest time that the guest may wait for the next part of the body.
    patience: Duration,
    /// The guest's current wait for the body. The value is `None` while the guest does not wait.
    waiting: Option<Waiting>,
    connection: Option<Unflushed>,
    upload: Weak<Observed>,
}

/// A wait of the guest for the next part of a body.
struct Waiting {
    timer: Pin<Box<Sleep>>,
    end: Instant,
}

impl<B: Body> IncomingBody<B> {
    /// Wraps the body of a request. `upload` is the state that this body updates.
    pub(crate) fn new(inner: B, settings: &Settings, upload: &Upload) -> Self {
        let max_size = settings.max_body_size.map(|size| size.bytes() as u64);
        let connection = upload.0.as_ref().map(|upload| upload.connection.clone());
        let upload = upload.0.as_ref().map(Arc::downgrade).unwrap_or_default();
        Self { inner, max_size, size: 0, patience: settings.body_timeout, waiting: None, connection, upload }
    }

    /// Reports whether the length that the client has announced exceeds the limit, or is larger than any file can be.
    pub(crate) fn is_too_large(&self) -> bool {
        self.inner.size_hint().lower() > self.max_size.unwrap_or(i64::MAX as u64)
    }

    /// Records that the host has read the whole body.
    fn ended(&self) {
        if let Some(connection) = &self.connection {
            connection.read_whole();
        }
    }

    /// Becomes ready when the guest has waited for `body-timeout`. If `body-timeout` is longer than [`STALLED_AFTER`],
    /// counts the request as stalled when the guest has waited for [`STALLED_AFTER`].
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let waiting = self.waiting.get_or_insert_with(|| {
            let end = sleep(self.patience).deadline();
            if let Some(upload) = self.upload.upgrade() {
                upload.shared(|shared| shared.until = Some(end));
            }
            Waiting { timer: Box::pin(sleep(STALLED_AFTER.min(self.patience))), end }
        });
        ready!(waiting.timer.as_mut().poll(cx));
        if waiting.timer.deadline() >= waiting.end {
            return Poll::Ready(());
        }
        if let Some(upload) = self.upload.upgrade() {
            upload.shared(|shared| shared.stalled = Some(upload.address.stall()));
        }
        waiting.timer.as_mut().reset(waiting.end);
        waiting.timer.as_mut().poll(cx)
    }
}

impl<B> Body for IncomingBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    Error: From<B::Error>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let (frame, failure) = match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.size += frame.data_ref().map_or(0, |data| data.len() as u64);
                if self.inner.is_end_stream() {
                    self.ended();
                }
                match self.max_size {
                    Some(max) if self.size > max => {
                        (Some(Err(Error::HttpRequestBodySize(Some(max)))), Some(BadUpload::TooLarge))
                    }
                    _ => (Some(Ok(frame)), None),
                }
            }
            Poll::Ready(Some(Err(error))) => (Some(Err(error.into())), Some(BadUpload::Malformed)),
            Poll::Ready(None) => {
                self.ended();
                (None, None)
            }
            Poll::Pending => {
                ready!(self.wait(cx));
                (Some(Err(Error::ConnectionReadTimeout)), Some(BadUpload::TooSlow))
            }
        };
        if failure.is_some() || self.waiting.is_some() {
            self.waiting = None;
            if let Some(upload) = self.upload.upgrade() {
                upload.shared(|shared| {
                    (shared.until, shared.stalled) = (None, None);
                    shared.failure = failure.or(shared.failure);
                });
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::{StreamExt as _, stream};
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;
    use crate::budget::address::Addresses;
    use epilogue_manifest::values::{Size, Value as _};
    use tokio::time::timeout;

    /// Reads a body that yields one byte after each of the `pauses`, which are in milliseconds. The limits are `max`
    /// bytes for the body, and one second of waiting for each byte.
    async fn read(pauses: &[u64], max: &str) -> Result<usize, Error> {
        let frames = stream::iter(pauses.to_vec()).then(|pause| async move {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            Ok::<_, Infallible>(Frame::data(Bytes::from("a")))
        });
        let frames = StreamBody::new(Box::pin(frames)).map_err(|never: Infallible| -> Error { match never {} });
        let settings = Settings {
            max_body_size: Size::parse(max).ok(),
            body_timeout: Duration::from_secs(1),
            ..Settings::default()
        };
        let body = IncomingBody::new(frames, &settings, &Upload::default());
        body.collect().await.map(|body| body.to_bytes().len())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_be_slow_as_long_as_it_comes() {
        assert_eq!(read(&[900; 10], "10").await.unwrap(), 10);
        assert!(matches!(read(&[900, 1_100, 0], "10").await, Err(Error::ConnectionReadTimeout)));
    }

    #[tokio::test(start_paused = true)]
    async fn s12_a_client_that_goes_on_slowly_is_not_stalled() {
        let address = Addresses::default().of([10, 0, 0, 1].into());
        let frames = stream::iter([900, 900, 900, 5_000]).then(|pause| async move {
            sleep(Duration::from_millis(pause)).await;
            Ok::<_, Error>(Frame::data(Bytes::from("a")))
        });
        let frames = StreamBody::new(Box::pin(frames));
        let upload = Upload::of(&frames, &Unflushed::default(), &address);
        let mut body = IncomingBody::new(frames, &Settings::default(), &upload);
        for _ in 0..3 {
            assert!(timeout(Duration::from_millis(899), body.frame()).await.is_err());
            assert_eq!(address.stalled(), 0);
            body.frame().await.unwrap().unwrap();
        }
        assert!(timeout(Duration::from_millis(1_100), body.frame()).await.is_err());
        assert_eq!(address.stalled(), 1);
        body.frame().await.unwrap().unwrap();
        assert_eq!(address.stalled(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn s12_a_body_that_a_guest_keeps_is_not_stalled_beyond_its_request() {
        let address = Addresses::default().of([10, 0, 0, 1].into());
        let body = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Error>>());
        let upload = Upload::of(&body, &Unflushed::default(), &address);
        let mut body = IncomingBody::new(body, &Settings::default(), &upload);
        assert!(timeout(Duration::from_secs(2), body.frame()).await.is_err());
        assert_eq!(address.stalled(), 1);
        drop(upload);
        assert_eq!(address.stalled(), 0);
        assert!(timeout(Duration::from_secs(2), body.frame()).await.is_err());
        assert_eq!(address.stalled(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_is_exact() {
        assert_eq!(read(&[0; 3], "3").await.unwrap(), 3);
        assert!(matches!(read(&[0; 4], "3").await, Err(Error::HttpRequestBodySize(Some(3)))));
        assert_eq!(read(&[0; 4], "none").await.unwrap(), 4);
    }
}
