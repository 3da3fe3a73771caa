//! A client that sends and reads piece by piece: it is slow, leaves, or holds a request at a known point.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use epilogue::testing::TestHost;
use socket2::{Domain, Type};

/// The pause between two pieces of a request that is sent slowly.
const PAUSE: Duration = Duration::from_millis(20);

/// An HTTP/1.1 connection whose receive buffer is as small as it can be.
pub(crate) struct Socket(TcpStream);

impl Socket {
    /// Sends `pieces` with a pause after each, until the host closes the connection or responds. Returns the response, or an empty
    /// text.
    pub(crate) fn trickle(&mut self, pieces: impl IntoIterator<Item = impl AsRef<[u8]>>) -> String {
        self.0.set_read_timeout(Some(PAUSE)).unwrap();
        let mut answer = [0; 1024];
        for piece in pieces {
            if self.0.write_all(piece.as_ref()).is_err() {
                return String::new();
            }
            match self.0.read(&mut answer) {
                Ok(count) => return String::from_utf8_lossy(&answer[..count]).into_owned(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return String::new(),
            }
        }
        panic!("the host should not have waited for all of it");
    }

    /// Closes the sending side, as `nc -N` does, if the host has not closed the connection already.
    pub(crate) fn finish(&mut self) {
        _ = self.0.shutdown(Shutdown::Write);
    }

    /// Breaks the connection: what is on its way is lost.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.0).set_linger(Some(Duration::ZERO)).unwrap();
    }

    pub(crate) fn connect(host: &TestHost) -> Self {
        Self::connect_to(host.address())
    }

    pub(crate) fn connect_to(address: SocketAddr) -> Self {
        Self::connect_from(Ipv4Addr::LOCALHOST, address)
    }

    /// Connects as a client with this address, which has to be one of this machine, such as 127.0.0.2.
    pub(crate) fn connect_from(client: Ipv4Addr, address: SocketAddr) -> Self {
        let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        if client != Ipv4Addr::LOCALHOST {
            socket.bind(&SocketAddr::from((client, 0)).into()).unwrap();
        }
        socket.set_recv_buffer_size(4096).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        socket.connect(&address.into()).unwrap();
        Self(socket.into())
    }

    /// Connects and sends a GET request.
    pub(crate) fn get(host: &TestHost, path: &str) -> Self {
        let mut socket = Self::connect(host);
        socket.request("GET", path);
        socket
    }

    /// Connects and sends the head of a POST request whose body will have `length` bytes, on a connection that ends with
    /// the response.
    pub(crate) fn post(host: &TestHost, path: &str, length: usize) -> Self {
        let mut socket = Self::connect(host);
        socket.write(&format!(
            "POST {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        ));
        socket
    }

    /// Sends a request without a body.
    pub(crate) fn request(&mut self, method: &str, path: &str) {
        self.write(&format!("{method} {path} HTTP/1.1\r\nhost: test\r\n\r\n"));
    }

    /// Waits no longer than this for what the host sends. The default is longer.
    pub(crate) fn impatient(self) -> Self {
        self.0.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        self
    }

    /// Sends bytes.
    pub(crate) fn write(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    /// Sends bytes. False if the host has closed the connection.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).is_ok()
    }

    /// Reads what is left, until the host closes the connection or breaks it.
    pub(crate) fn remains(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        if let Err(error) = self.0.read_to_end(&mut rest) {
            assert_ne!(error.kind(), ErrorKind::WouldBlock, "the host should have closed the connection");
        }
        rest
    }

    /// Reads the response headers. Then the handler has returned.
    pub(crate) fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        String::from_utf8(head).unwrap()
    }

    /// Reads `count` bytes and returns them.
    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Reads `count` bytes and no more.
    pub(crate) fn read(&mut self, count: usize) {
        let mut left = count;
        let mut buffer = vec![0; 64 * 1024];
        while left > 0 {
            let piece = left.min(buffer.len());
            let read = self.0.read(&mut buffer[..piece]).unwrap();
            assert_ne!(read, 0, "the response ended {left} bytes early");
            left -= read;
        }
    }

    /// Reads what is left as text, until the host closes the connection or breaks it.
    pub(crate) fn rest(&mut self) -> String {
        String::from_utf8(self.remains()).unwrap()
    }
}
