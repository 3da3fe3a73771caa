//! A gate stops a guest until the test lets the guest continue.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use epilogue::testing::{TestHost, TestHostBuilder};

const PATIENCE: Duration = Duration::from_secs(60);

/// An HTTP server that responds to a guest when the test says so.
pub(crate) struct Gate {
    address: SocketAddr,
    arrivals: Receiver<Waiting>,
}

/// A guest before the gate.
pub(crate) struct Waiting(TcpStream);

impl Gate {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, arrivals) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    request.push(byte[0]);
                }
                if sender.send(Waiting(stream)).is_err() {
                    break;
                }
            }
        });
        Self { address, arrivals }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Describes a host whose guest may come to this gate.
    pub(crate) fn host(&self, guest: &str) -> TestHostBuilder {
        TestHost::component(guest).allow(&self.url())
    }

    /// The path of a request to the guest `gate` that waits here at `place`.
    pub(crate) fn path(&self, place: &str) -> String {
        format!("/?gate={}&at={place}", self.url())
    }

    /// Waits for the next guest that comes to the gate.
    pub(crate) fn wait(&self) -> Waiting {
        self.arrivals.recv_timeout(PATIENCE).expect("a guest should come to the gate")
    }
}

impl Waiting {
    pub(crate) fn open(mut self) {
        self.0.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
    }
}
