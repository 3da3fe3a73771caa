//! Turns each line that guests print into an event of the JSON log.
//!
//! The host's own events can be lost, but the events for lines of guests are never lost. In both log formats, a guest
//! that prints waits while the buffer is above the limit for guests.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use serde::Serialize;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use super::{Permit, Stream};
use crate::telemetry::guest_lines::{Line, LineSplitter, Origin};
use crate::telemetry::timestamp::timestamp;

/// The largest number of bytes that the host takes from a guest in one write. The number is small because in the worst
/// case, each byte is a line, and each line becomes an event.
const PIECE: usize = 1024;

/// An output stream of an instance. Each line of the stream becomes an event.
#[derive(Clone)]
pub(crate) struct Lines {
    stream: &'static Stream,
    open: Arc<Mutex<Open>>,
}

/// Splits the stream into lines, and keeps the last part of the output that has no line break yet.
struct Open {
    stream: &'static Stream,
    splitter: LineSplitter,
}

#[derive(Serialize)]
struct Event<'a> {
    timestamp: String,
    level: &'static str,
    component: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<u64>,
    stream: &'static str,
    line: &'a str,
    /// True if the next event contains more of the same line.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    continues: bool,
    target: &'static str,
}

impl Lines {
    /// Makes an output stream for an instance of `component`. The host writes the event of each line to `stream`, the
    /// host's own stdout or stderr.
    pub(crate) fn new(component: &str, stream: &'static Stream) -> Self {
        let splitter = LineSplitter::new(component, stream.name());
        Self { stream, open: Arc::new(Mutex::new(Open { stream, splitter })) }
    }

    /// From now on, the guest's output belongs to the request and the task in `origin`. If the previous request or task
    /// has printed a line without a line break, first writes this line.
    pub(crate) fn belong_to(&self, origin: Option<Arc<Origin>>) {
        let mut open = self.open();
        let mut events = Vec::new();
        open.splitter.belong_to(origin, |line| write(&mut events, &line));
        open.print(&events);
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Writes events even if the buffer is above the limit for guests. The host calls this function while the guest
    /// does not run, so the guest cannot wait for room in the buffer.
    fn print(&self, events: &[u8]) {
        if !events.is_empty() {
            _ = self.stream.print(events, usize::MAX);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut events = Vec::new();
        self.splitter.end(|line| write(&mut events, &line));
        self.print(&events);
    }
}

/// Adds a line to `events`, as one event.
fn write(events: &mut Vec<u8>, line: &Line<'_>) {
    let event = Event {
        timestamp: timestamp(),
        level: "INFO",
        component: line.component,
        request: line.origin.map(|origin| &*origin.request),
        trace_id: line.origin.and_then(|origin| origin.trace_id.as_deref()),
        task: line.origin.and_then(|origin| origin.task),
        stream: line.stream,
        line: line.text,
        continues: line.continues,
        target: "epilogue::guest",
    };
    // The event consists only of texts and numbers, so writing it as JSON cannot fail.
    if serde_json::to_writer(&mut *events, &event).is_ok() {
        events.push(b'\n');
    }
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(Writer { lines: self.clone(), permit: Permit::default() })
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Writer { lines: self.clone(), permit: Permit::default() })
    }
}

/// A guest's handle to the output stream.
struct Writer {
    lines: Lines,
    permit: Permit,
}

impl Writer {
    fn print(&self, bytes: &[u8]) -> io::Result<()> {
        let (mut open, mut events) = (self.lines.open(), Vec::new());
        open.splitter.add(bytes, |line| write(&mut events, &line));
        self.lines.stream.print(&events, usize::MAX)
    }
}

impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.permit.spend(bytes.len())?;
        self.print(&bytes).map_err(|_| StreamError::Closed)
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.permit.grant(self.lines.stream, PIECE)
    }
}

#[async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.lines.stream.poll_room(cx)).await;
        self.permit.admitted = true;
    }
}

impl AsyncWrite for Writer {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        std::task::ready!(self.lines.stream.poll_room(cx));
        let piece = &bytes[..bytes.len().min(PIECE)];
        Poll::Ready(self.print(piece).map(|()| piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_event_has_the_line_and_its_origin() {
        let event = |origin: Option<Arc<Origin>>| {
            let (mut splitter, mut events) = (LineSplitter::new("app", "stdout"), Vec::new());
            splitter.belong_to(origin, |_| ());
            splitter.add(b"\xff\x1b[2J\"\n", |line| write(&mut events, &line));
            let mut event: Value = serde_json::from_slice(&events).unwrap();
            assert!(event.as_object_mut().unwrap().remove("timestamp").is_some());
            event
        };
        let line = "\u{fffd}\u{1b}[2J\"";
        assert_eq!(
            event(None),
            json!({"level": "INFO", "component": "app", "stream": "stdout", "line": line, "target": "epilogue::guest"})
        );
        let origin = Origin {
            request: "r".into(),
            trace_id: Some("t".into()),
            task: Some(2),
            component: Some("other".into()),
            trace: None,
        };
        let event = event(Some(Arc::new(origin)));
        let fields = ["request", "trace_id", "task", "component"].map(|name| &event[name]);
        assert_eq!(json!(fields), json!(["r", "t", 2, "other"]));
    }
}
