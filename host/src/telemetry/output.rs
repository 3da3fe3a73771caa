//! Writes to the process's stdout and stderr. Writing never waits for the process that reads the output, because other
//! requests run on the same thread.
//!
//! The host writes as many bytes as the system accepts without waiting. The host buffers the other bytes, and a
//! separate thread for each stream writes the buffer. The buffer has a limit for the output of guests and a higher
//! limit for log events. While the buffer is above the limit for guests, a guest that prints waits, and other requests
//! on the thread go on. A log event never waits, because the request that logs the event would wait too. If the buffer
//! has no room for an event, the event is lost. The host counts lost events, and logs their number as soon as another
//! process reads the stream again (promise S3).

mod lines;

use std::io::{self, IoSlice, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use rustix::io::{Errno, ReadWriteFlags, pwritev2, write};
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

pub(crate) use lines::Lines;

/// The limit for the output of guests, in bytes. A guest that prints waits until the buffer contains fewer bytes. A
/// pipe on Linux holds the same number of bytes.
const GUESTS: usize = 64 * 1024;
/// The limit for log events, in bytes: about 25,000 events. If an event would make the buffer exceed this limit, the
/// event is lost.
const EVENTS: usize = 4 * 1024 * 1024;
/// The largest number of bytes that the stream's thread passes to the system in one write. The number is small, so that
/// [`Stream::flush`] soon sees whether another process reads the stream.
const PIECE: usize = 4096;
/// The longest time that the ending process waits for a reader of its output. If no other process reads any of the
/// remaining output for this time, the process ends without writing the rest.
const PATIENCE: Duration = Duration::from_secs(1);
/// The pause before the stream's thread repeats a write. The thread repeats a write if the stream is non-blocking and
/// accepts no bytes at the moment.
const PAUSE: Duration = Duration::from_millis(10);

/// The stdout of the process.
pub(crate) static STDOUT: Stream = Stream::new(File::Stdout);
/// The process's stderr.
pub(crate) static STDERR: Stream = Stream::new(File::Stderr);

/// The stdout or the stderr of the process.
pub(crate) struct Stream {
    file: File,
    buffer: Mutex<Buffer>,
    /// Wakes the stream's thread when the buffer gets bytes. Wakes the threads that wait in [`Stream::flush`] when the
    /// stream's thread has written bytes.
    changed: Condvar,
}

#[derive(Clone, Copy)]
enum File {
    Stdout,
    Stderr,
}

impl File {
    fn with<T>(self, act: impl FnOnce(BorrowedFd<'_>) -> T) -> T {
        match self {
            Self::Stdout => act(io::stdout().as_fd()),
            Self::Stderr => act(io::stderr().as_fd()),
        }
    }
}

struct Buffer {
    kept: Vec<u8>,
    /// The number of bytes that the writing thread has taken from the buffer and has not written yet.
    taken: usize,
    started: bool,
    /// True if the stream is closed, so that no other process can read the stream any more.
    closed: bool,
    /// The number of events that were lost since the last message about lost events.
    lost: u64,
    waiting: Vec<Waker>,
}

impl Buffer {
    fn held(&self) -> usize {
        self.kept.len() + self.taken
    }

    /// Reports whether the stream's thread must still write a message about lost events. If the stream is closed, the
    /// result is false.
    fn owes(&self) -> bool {
        self.lost > 0 && !self.closed
    }

    fn close(&mut self) {
        self.closed = true;
        self.kept = Vec::new();
    }

    fn wake(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }
}

impl Stream {
    const fn new(file: File) -> Self {
        let buffer = Buffer { kept: Vec::new(), taken: 0, started: false, closed: false, lost: 0, waiting: Vec::new() };
        Self { file, buffer: Mutex::new(buffer), changed: Condvar::new() }
    }

    /// Returns the name of the stream: `stdout` or `stderr`.
    fn name(&self) -> &'static str {
        match self.file {
            File::Stdout => "stdout",
            File::Stderr => "stderr",
        }
    }

    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// If the buffer is empty, writes as many of `bytes` as the system accepts without waiting. Puts the rest of
    /// `bytes` into the buffer. If the buffer has no room for the whole rest within `room` bytes, puts nothing into the
    /// buffer and returns an error.
    fn print(&'static self, mut bytes: &[u8], room: usize) -> io::Result<()> {
        let mut buffer = self.buffer();
        while buffer.held() == 0 && !buffer.closed && !bytes.is_empty() {
            // This write never blocks. If the stream is a terminal, or if Linux is older than 6.4, the system refuses
            // the write, and the stream's thread writes the bytes.
            let piece = [IoSlice::new(bytes)];
            match self.file.with(|file| pwritev2(file, &piece, u64::MAX, ReadWriteFlags::NOWAIT)) {
                Ok(count) => bytes = &bytes[count..],
                Err(Errno::PIPE) => buffer.close(),
                Err(_) => break,
            }
        }
        if buffer.closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if bytes.is_empty() {
            return Ok(());
        }
        if buffer.held() + bytes.len() > room {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        buffer.kept.extend_from_slice(bytes);
        if !buffer.started {
            let thread = std::thread::Builder::new().name("epilogue-output".to_owned());
            buffer.started = thread.spawn(|| self.write_all()).is_ok();
            // If the thread could not be started, nothing would ever write the buffer.
            if !buffer.started {
                buffer.close();
            }
        }
        self.changed.notify_all();
        Ok(())
    }

    /// Runs on the stream's thread and never returns. Each time the buffer contains bytes, writes these bytes to the
    /// stream.
    fn write_all(&self) {
        loop {
            let mut buffer = self
                .changed
                .wait_while(self.buffer(), |buffer| buffer.kept.is_empty() && !buffer.owes())
                .unwrap_or_else(PoisonError::into_inner);
            if buffer.kept.is_empty() {
                let lost = buffer.lost;
                drop(buffer);
                tracing::warn!(target: "epilogue::output", lost, "events were lost, because nothing read stderr");
                // Lower the count only after the message was written, because the process might end before that.
                self.buffer().lost -= lost;
                self.changed.notify_all();
                continue;
            }
            let kept = std::mem::take(&mut buffer.kept);
            buffer.taken = kept.len();
            drop(buffer);
            for piece in kept.chunks(PIECE) {
                let written = self.write_piece(piece);
                let mut buffer = self.buffer();
                buffer.taken -= piece.len();
                if written == Err(Errno::PIPE) {
                    buffer.close();
                }
                if buffer.closed || buffer.held() < GUESTS {
                    buffer.wake();
                }
                self.changed.notify_all();
            }
        }
    }

    /// Writes all of `piece`, and waits for the system if necessary. If the system refuses bytes, for example because
    /// the disk is full, these bytes are lost.
    fn write_piece(&self, mut piece: &[u8]) -> Result<(), Errno> {
        while !piece.is_empty() {
            match self.file.with(|file| write(file, piece)) {
                Ok(count) => piece = &piece[count..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => std::thread::sleep(PAUSE),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits until the stream's thread has written the buffer. If no other process reads the stream for [`PATIENCE`],
    /// stops waiting.
    fn flush(&self) {
        let mut buffer = self.buffer();
        while buffer.held() > 0 && !buffer.closed || buffer.owes() {
            let (held, lost) = (buffer.held(), buffer.lost);
            let stands = |buffer: &mut Buffer| buffer.held() >= held && buffer.lost >= lost && !buffer.closed;
            let moves = self.changed.wait_timeout_while(buffer, PATIENCE, stands);
            let (after, waited) = moves.unwrap_or_else(PoisonError::into_inner);
            if waited.timed_out() {
                return;
            }
            buffer = after;
        }
    }

    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut buffer = self.buffer();
        if buffer.closed || buffer.held() < GUESTS {
            return Poll::Ready(());
        }
        if !buffer.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            buffer.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

/// Waits until all output of the process is written. If no other process reads a stream, stops waiting for this stream.
/// The process calls this function when it ends.
pub(crate) fn flush() {
    STDOUT.flush();
    STDERR.flush();
}

/// Writes the host's log events to stderr. For each event, writes either the whole event or nothing.
pub(crate) struct Events;

impl Write for Events {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        if STDERR.print(event, EVENTS).is_err() {
            STDERR.buffer().lost += 1;
            STDERR.changed.notify_all();
            metrics::counter!("epilogue_events_lost_total").increment(1);
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The stdout or stderr of guests. The host writes the guests' output to the host's own stream.
#[derive(Clone, Copy)]
pub(crate) struct GuestOutput(pub(crate) &'static Stream);

impl IsTerminal for GuestOutput {
    fn is_terminal(&self) -> bool {
        self.0.file.with(|file| io::IsTerminal::is_terminal(&file))
    }
}

impl StdoutStream for GuestOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(GuestWriter { stream: self.0, permit: Permit::default() })
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(GuestWriter { stream: self.0, permit: Permit::default() })
    }
}

/// An output stream that a guest has opened. The host writes the guest's output to the host's own stream.
struct GuestWriter {
    stream: &'static Stream,
    permit: Permit,
}

/// What a guest may write to a stream of WASI 0.2 before it must ask again.
#[derive(Default)]
struct Permit {
    /// True if the host has told the guest that the stream is ready for a write. The next write of the guest does not
    /// wait, even if other guests have filled the buffer in the meantime.
    admitted: bool,
    /// The number of bytes that the last `check-write` has granted, without the bytes that were written since.
    bytes: usize,
}

impl Permit {
    /// Grants a write of up to `most` bytes if the stream has room. Returns the number of granted bytes.
    fn grant(&mut self, stream: &Stream, most: usize) -> StreamResult<usize> {
        let buffer = stream.buffer();
        if buffer.closed {
            return Err(StreamError::Closed);
        }
        self.bytes = if self.admitted || buffer.held() < GUESTS { most } else { 0 };
        Ok(self.bytes)
    }

    /// Uses the permit for a write of `bytes` bytes.
    ///
    /// # Errors
    ///
    /// Returns a trap if the guest writes more than `check-write` has granted, as `wasi:io/streams` says. Otherwise a
    /// guest could fill the host's memory, and block its thread, with one call.
    fn spend(&mut self, bytes: usize) -> StreamResult<()> {
        self.admitted = false;
        let left = self.bytes.checked_sub(bytes);
        self.bytes = left.ok_or_else(|| StreamError::trap("the guest wrote more than check-write has granted"))?;
        Ok(())
    }
}

impl OutputStream for GuestWriter {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.permit.spend(bytes.len())?;
        self.stream.print(&bytes, usize::MAX).map_err(|_| StreamError::Closed)
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.permit.grant(self.stream, GUESTS)
    }
}

#[async_trait]
impl Pollable for GuestWriter {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.stream.poll_room(cx)).await;
        self.permit.admitted = true;
    }
}

impl AsyncWrite for GuestWriter {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        std::task::ready!(self.stream.poll_room(cx));
        let piece = &bytes[..bytes.len().min(GUESTS)];
        Poll::Ready(self.stream.print(piece, usize::MAX).map(|()| piece.len()))
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
    use super::*;

    #[test]
    fn a_guest_may_write_what_it_was_granted_and_no_more() {
        let (mut permit, mut other) = (Permit::default(), Permit::default());
        assert!(matches!(permit.spend(1), Err(StreamError::Trap(_))), "it has not asked");
        assert!(matches!(permit.grant(&STDOUT, 8), Ok(8)));
        assert!(permit.spend(5).is_ok() && permit.spend(3).is_ok());
        assert!(matches!(permit.spend(1), Err(StreamError::Trap(_))), "it has written all that was granted");
        assert!(matches!(other.grant(&STDOUT, 8), Ok(8)));
        assert!(matches!(other.spend(9), Err(StreamError::Trap(_))));
    }
}
