//! Hears what a guest prints, on its way to the process' own output.

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
use crate::tasks::timeline::Shared;

/// Who hears what a guest prints.
#[derive(Clone)]
pub(crate) struct Ear {
    /// Keeps the last words of stderr. None for stdout.
    pub(crate) words: Option<LastWords>,
    pub(crate) printed: Printed,
    /// `stdout` or `stderr`.
    pub(crate) name: &'static str,
}

impl Ear {
    /// Passes all bytes on to `stream`, and hears them.
    pub(crate) fn of<S: StdoutStream>(self, stream: S) -> Heard<S> {
        Heard { ear: self, stream }
    }

    fn hear(&self, bytes: &[u8]) {
        if let Some(words) = &self.words {
            words.keep(bytes);
        }
        self.printed.note(self.name, bytes);
    }
}

/// The timeline of an instance's current request, for what the guest prints. None if nothing shows it.
#[derive(Clone, Default)]
pub(crate) struct Printed(Arc<Current>);

#[derive(Default)]
struct Current {
    /// Whether there is a timeline. Mostly there is none, and then the check costs almost nothing.
    any: AtomicBool,
    timeline: Mutex<Option<Arc<Shared>>>,
}

impl Printed {
    /// Writes what the guest prints into this timeline from now on.
    pub(crate) fn belong_to(&self, timeline: Option<&Arc<Shared>>) {
        if timeline.is_some() || self.0.any.load(Relaxed) {
            self.0.any.store(timeline.is_some(), Relaxed);
            *self.0.timeline.lock().unwrap_or_else(PoisonError::into_inner) = timeline.cloned();
        }
    }

    fn note(&self, stream: &'static str, bytes: &[u8]) {
        if self.0.any.load(Relaxed)
            && let Some(timeline) = &*self.0.timeline.lock().unwrap_or_else(PoisonError::into_inner)
        {
            timeline.lock().printed(stream, bytes);
        }
    }
}

/// An output stream of a guest, which an [`Ear`] hears.
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
        self.ear.hear(&bytes);
        self.stream.write(bytes)
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
