//! A request's body on its way to the guest: within a size, and not waited for without end.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;
use wasmtime_wasi_http::Error;

use crate::settings::Settings;

/// A body that ends with an error where it breaks a limit of its component's.
pub(crate) struct IncomingBody<B> {
    inner: B,
    max_size: Option<u64>,
    size: u64,
    /// How long the guest waits for the next frame.
    patience: Duration,
    /// Runs while it waits.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<B: Body> IncomingBody<B> {
    pub(crate) fn new(inner: B, settings: &Settings) -> Self {
        let max_size = settings.max_body_size.map(|size| size.bytes() as u64);
        Self { inner, max_size, size: 0, patience: settings.body_timeout, waiting: None }
    }

    /// Whether its announced length alone is too much.
    pub(crate) fn is_too_large(&self) -> bool {
        self.max_size.is_some_and(|max| self.inner.size_hint().lower() > max)
    }

    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let patience = self.patience;
        self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience))).as_mut().poll(cx)
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
        let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) else {
            return self.wait(cx).map(|()| Some(Err(Error::ConnectionReadTimeout)));
        };
        self.waiting = None;
        Poll::Ready(frame.map(|frame| {
            let frame = frame?;
            self.size += frame.data_ref().map_or(0, |data| data.len() as u64);
            match self.max_size {
                Some(max) if self.size > max => Err(Error::HttpRequestBodySize(Some(max))),
                _ => Ok(frame),
            }
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
