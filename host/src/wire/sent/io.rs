//! Observes when a connection is flushed, to find out which responses have been sent.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Unflushed;

/// Wraps a connection. At each flush, the wrapper sets the outcome of each response whose last byte the flush has sent.
pub(crate) struct TrackedIo<T> {
    io: Rc<RefCell<T>>,
    unflushed: Unflushed,
}

impl<T> TrackedIo<T> {
    /// Wraps a connection. If the connection uses TLS, `io` is the TCP connection below TLS, because only bytes that
    /// have left the process count as sent. When hyper does not need the connection any more, hyper drops the wrapper.
    /// Code that uses the connection later must keep its own reference to `io`.
    pub(crate) fn new(io: Rc<RefCell<T>>, unflushed: Unflushed) -> Self {
        Self { io, unflushed }
    }
}

impl<T> Drop for TrackedIo<T> {
    fn drop(&mut self) {
        self.unflushed.close();
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for TrackedIo<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut *self.io.borrow_mut()).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.unflushed.received();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for TrackedIo<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut *self.io.borrow_mut()).poll_write(cx, buf))?;
        self.unflushed.written();
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut *self.io.borrow_mut()).poll_write_vectored(cx, bufs))?;
        self.unflushed.written();
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.borrow().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut *self.io.borrow_mut()).poll_flush(cx))?;
        self.unflushed.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io.borrow_mut()).poll_shutdown(cx)
    }
}
