//! Turns each line that guests write to stderr into an event of the JSON log.
//!
//! Unlike other events, these events are never lost. If the buffer is full, the guest waits, as it does for plain text.

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

use super::{GUESTS, STDERR};
use crate::telemetry::timestamp::timestamp;

/// The largest number of bytes of a line in one event. If a line is longer, the next event contains more of the line.
const MAX_LINE: usize = 16 * 1024;
/// The largest number of bytes that a guest writes at once. Each byte may be a line, and each line becomes an event.
const PIECE: usize = 4096;

/// The stderr of one instance.
#[derive(Clone)]
pub(crate) struct Lines(Arc<Mutex<Open>>);

/// The line that has not ended yet, and the request that the line is part of.
struct Open {
    component: String,
    request: Option<String>,
    line: Vec<u8>,
}

#[derive(Serialize)]
struct Event<'a> {
    timestamp: String,
    level: &'static str,
    component: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a str>,
    stream: &'static str,
    line: &'a str,
    /// Whether the next event contains more of the same line.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    continues: bool,
    target: &'static str,
}

impl Lines {
    /// Makes the stderr of an instance of this component.
    pub(crate) fn new(component: &str) -> Self {
        Self(Arc::new(Mutex::new(Open { component: component.to_owned(), request: None, line: Vec::new() })))
    }

    /// Assigns the guest's further output to `request`. First writes the line that has not ended, because this line is
    /// part of the previous request's output.
    pub(crate) fn belong_to(&self, request: Option<&str>) {
        let mut open = self.open();
        open.end();
        open.request = request.map(str::to_owned);
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Turns bytes that the guest has written into events. Each line becomes one event.
    fn events(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut events = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            let ended = self.line.pop_if(|last| *last == b'\n').is_some();
            while self.line.len() > MAX_LINE {
                let rest = self.line.split_off(whole(&self.line[..MAX_LINE]));
                let piece = std::mem::replace(&mut self.line, rest);
                self.write(&mut events, &piece, true);
            }
            if ended {
                let line = std::mem::take(&mut self.line);
                self.write(&mut events, &line, false);
            }
        }
        events
    }

    fn write(&self, events: &mut Vec<u8>, line: &[u8], continues: bool) {
        let event = Event {
            timestamp: timestamp(),
            level: "INFO",
            component: &self.component,
            request: self.request.as_deref(),
            stream: "stderr",
            line: &String::from_utf8_lossy(line),
            continues,
            target: "epilogue::guest",
        };
        // The event consists of texts and a number, so it can always be written.
        if serde_json::to_writer(&mut *events, &event).is_ok() {
            events.push(b'\n');
        }
    }

    /// Writes the beginning of a line whose end will not come.
    fn end(&mut self) {
        if !self.line.is_empty() {
            _ = STDERR.print(&self.events(b"\n"), usize::MAX);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.end();
    }
}

/// Returns how many of the bytes form complete characters. The last character may be incomplete.
fn whole(bytes: &[u8]) -> usize {
    match bytes.utf8_chunks().last().map(|last| last.invalid()) {
        Some(begun) if std::str::from_utf8(begun).is_err_and(|error| error.error_len().is_none()) => {
            bytes.len() - begun.len()
        }
        _ => bytes.len(),
    }
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(Writer { lines: self.clone(), admitted: false })
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Writer { lines: self.clone(), admitted: false })
    }
}

/// One stream of stderr that the guest has opened.
struct Writer {
    lines: Lines,
    /// Whether the host has told the guest that the guest may write. An admitted guest does not wait again, even if
    /// other guests have filled the buffer since.
    admitted: bool,
}

impl Writer {
    fn print(&self, bytes: &[u8]) -> io::Result<()> {
        let mut open = self.lines.open();
        let events = open.events(bytes);
        STDERR.print(&events, usize::MAX)
    }
}

impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.admitted = false;
        self.print(&bytes).map_err(|_| StreamError::Closed)
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        let buffer = STDERR.buffer();
        match buffer.closed {
            true => Err(StreamError::Closed),
            false => Ok(if self.admitted || buffer.held() < GUESTS { PIECE } else { 0 }),
        }
    }
}

#[async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| STDERR.poll_room(cx)).await;
        self.admitted = true;
    }
}

impl AsyncWrite for Writer {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        std::task::ready!(STDERR.poll_room(cx));
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
    use serde_json::Value;

    use super::*;

    fn open() -> Open {
        Open { component: "app".to_owned(), request: Some("1".to_owned()), line: Vec::new() }
    }

    /// Returns the lines in these events, and whether each line continues in the next event.
    fn lines(events: &[u8]) -> Vec<(String, bool)> {
        let events = std::str::from_utf8(events).unwrap().lines();
        let parsed = events.map(|event| serde_json::from_str::<Value>(event).unwrap());
        parsed.map(|event| (event["line"].as_str().unwrap().to_owned(), event["continues"] == true)).collect()
    }

    #[test]
    fn a_line_is_one_event_however_it_comes() {
        let mut open = open();
        assert!(open.events(b"par").is_empty());
        assert_eq!(lines(&open.events(b"tial\n\nnext")), [("partial".to_owned(), false), (String::new(), false)]);
        assert_eq!(lines(&open.events(b"\n")), [("next".to_owned(), false)]);
        let event: Value = serde_json::from_slice(&open.events(b"\xff\x1b[2J\"\n")).unwrap();
        assert_eq!(
            [&event["component"], &event["request"], &event["stream"], &event["line"], &event["target"]],
            ["app", "1", "stderr", "\u{fffd}\u{1b}[2J\"", "epilogue::guest"]
        );
    }

    #[test]
    fn a_long_line_goes_on_in_the_next_event_and_nothing_of_it_is_lost() {
        for start in ["", "a", "ab", "abc"] {
            let text = format!("{start}{}", "\u{1f600}".repeat(MAX_LINE));
            let mut open = open();
            let mut events = Vec::new();
            for piece in text.as_bytes().chunks(PIECE) {
                events.extend(open.events(piece));
                assert!(open.line.len() <= MAX_LINE);
            }
            events.extend(open.events(b"\n"));
            let lines = lines(&events);
            assert!(lines.len() >= 4 && lines.iter().all(|(line, _)| line.len() <= MAX_LINE));
            assert!(lines.iter().rev().skip(1).all(|(_, continues)| *continues) && !lines.last().unwrap().1);
            assert_eq!(lines.into_iter().map(|(line, _)| line).collect::<String>(), text);
        }
    }

    #[test]
    fn a_line_of_no_characters_is_cut_all_the_same() {
        let mut open = open();
        let events = open.events(&[0x9f; 3 * MAX_LINE]);
        assert_eq!(lines(&events).len(), 2);
        assert_eq!(open.line.len(), MAX_LINE);
        open.line.clear();
    }
}
