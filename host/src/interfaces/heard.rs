//! Copies the text that a guest writes to stdout and stderr. The copies go to [`LastWords`], to the timeline of the
//! current request, and to the exported log. The text itself goes on to its usual destination.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::last_words::LastWords;
use crate::tasks::timeline::{Shared, Stream};
use crate::telemetry::otlp::GuestStream;

/// Copies one output stream of a guest to [`LastWords`], to the timeline of the current request, and to an
/// OpenTelemetry collector.
#[derive(Clone)]
pub(crate) struct Ear {
    /// Keeps the last text that the guest wrote to stderr. The value is `None` for stdout.
    pub(crate) words: Option<LastWords>,
    pub(crate) printed: Printed,
    /// Sends each line to an OpenTelemetry collector. The value is `None` if the host exports no logs.
    pub(crate) log: Option<GuestStream>,
    /// Which of the guest's output streams is copied.
    pub(crate) stream: Stream,
}

impl Ear {
    /// Wraps `stream`. The wrapper passes all bytes on to `stream` and copies them to this `Ear`.
    pub(crate) fn of<S: StdoutStream>(self, stream: S) -> Heard<S> {
        Heard { ear: self, stream }
    }

    fn hear(&self, bytes: &[u8]) {
        if let Some(words) = &self.words {
            words.keep(bytes);
        }
        self.printed.note(self.stream, bytes);
        if let Some(log) = &self.log {
            log.add(bytes);
        }
    }
}

/// Copies an instance's output to the timeline of the instance's current request. If the request has no timeline,
/// copies nothing.
#[derive(Clone, Default)]
pub(crate) struct Printed(Arc<Current>);

#[derive(Default)]
struct Current {
    /// True if the current request has a timeline. Usually, a request has no timeline, and the host then need not lock
    /// `timeline`.
    any: AtomicBool,
    timeline: Mutex<Option<Arc<Shared>>>,
}

impl Printed {
    /// From now on, records the guest's output in this timeline. If `timeline` is `None`, the recording stops.
    pub(crate) fn belong_to(&self, timeline: Option<&Arc<Shared>>) {
        if timeline.is_some() || self.0.any.load(Relaxed) {
            self.0.any.store(timeline.is_some(), Relaxed);
            *self.0.timeline.lock().unwrap_or_else(PoisonError::into_inner) = timeline.cloned();
        }
    }

    fn note(&self, stream: Stream, bytes: &[u8]) {
        if self.0.any.load(Relaxed)
            && let Some(timeline) = &*self.0.timeline.lock().unwrap_or_else(PoisonError::into_inner)
        {
            timeline.lock().printed(stream, bytes);
        }
    }
}

/// An output stream of a guest whose bytes are also copied to an [`Ear`].
pub(crate) struct Heard<S> {
    ear: Ear,
    stream: S,
}

impl<S: IsTerminal> IsTerminal for Heard<S> {
    fn is_terminal(&self) -> bool {
        self.stream.is_terminal()
    }
}

impl<S: StdoutStream> StdoutStream for Heard<S> {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(Heard { ear: self.ear.clone(), stream: Box::into_pin(self.stream.async_stream()) })
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Heard { ear: self.ear.clone(), stream: self.stream.p2_stream() })
    }
}

impl OutputStream for Heard<Box<dyn OutputStream>> {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.stream.write(bytes.clone())?;
        self.ear.hear(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.stream.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.stream.check_write()
    }
}

#[async_trait]
impl Pollable for Heard<Box<dyn OutputStream>> {
    async fn ready(&mut self) {
        self.stream.ready().await;
    }
}

impl AsyncWrite for Heard<Pin<Box<dyn AsyncWrite + Send + Sync>>> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let written = self.stream.as_mut().poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = written {
            self.ear.hear(&bytes[..count]);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.stream.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.stream.as_mut().poll_shutdown(cx)
    }
}
