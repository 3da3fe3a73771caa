//! A server for guests to call. It answers a request only when the test says so. So a task that waits for the answer
//! runs for as long as the test wants.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

/// A server on a port of its own.
pub(crate) struct Upstream {
    address: SocketAddr,
    calls: Receiver<Call>,
}

/// A request that waits for its answer.
pub(crate) struct Call {
    /// The request's first line.
    pub(crate) line: String,
    /// The lines of its headers.
    pub(crate) headers: Vec<String>,
    stream: TcpStream,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port should be free");
        let address = listener.local_addr().unwrap();
        let (sender, calls) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let sender = sender.clone();
                thread::spawn(move || _ = sender.send(Call::read(stream)));
            }
        });
        Self { address, calls }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits for the next request, in the order of arrival.
    pub(crate) fn call(&self) -> Call {
        self.calls.recv_timeout(Duration::from_secs(60)).expect("somebody should call")
    }
}

impl Call {
    fn read(stream: TcpStream) -> Self {
        let mut lines = BufReader::new(stream.try_clone().expect("the stream should be cloned")).lines();
        let line = lines.next().and_then(Result::ok).unwrap_or_default();
        let headers = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        Self { line, headers, stream }
    }

    pub(crate) fn answer(mut self, body: &str) {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        self.stream.write_all((head + body).as_bytes()).expect("the caller should wait for the answer");
    }
}
