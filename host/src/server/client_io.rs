//! The connection of a client, with or without TLS.

use futures::FutureExt as _;
use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// A client's connection, from which the host reads requests and to which the host writes responses.
pub(crate) trait ClientIo: AsyncRead + AsyncWrite + Unpin + 'static {
    /// Reports whether the client has closed its side of the connection. The result is true even if the host has not
    /// yet read all bytes that the client sent before it closed its side.
    fn has_left(&self) -> bool;
}

impl ClientIo for TcpStream {
    fn has_left(&self) -> bool {
        let ready = self.ready(Interest::READABLE).now_or_never();
        ready.is_some_and(|ready| ready.is_ok_and(|ready| ready.is_read_closed()))
    }
}

impl ClientIo for TlsStream<TcpStream> {
    fn has_left(&self) -> bool {
        self.get_ref().0.has_left()
    }
}

#[cfg(test)]
impl ClientIo for tokio::io::DuplexStream {
    fn has_left(&self) -> bool {
        false
    }
}
