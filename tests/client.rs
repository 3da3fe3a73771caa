//! A client that sends and reads piece by piece, to hold a request at a known point.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use epilogue::testing::TestHost;

/// A connection with one HTTP/1.1 request on it.
pub(crate) struct Client(TcpStream);

impl Client {
    /// Sends the head of a POST request whose body will have `length` bytes.
    pub(crate) fn post(host: &TestHost, path: &str, length: usize) -> Self {
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
        Self::open(host, &head)
    }

    /// Sends a GET request.
    pub(crate) fn get(host: &TestHost, path: &str) -> Self {
        Self::open(host, &format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n"))
    }

    fn open(host: &TestHost, head: &str) -> Self {
        let stream = TcpStream::connect(host.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut client = Self(stream);
        client.write(head);
        client
    }

    /// Sends more.
    pub(crate) fn write(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    /// Reads the response's head: the handler has returned.
    pub(crate) fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        String::from_utf8(head).unwrap()
    }

    /// Reads what is left of the response, until the host closes the connection.
    pub(crate) fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).unwrap();
        rest
    }
}
