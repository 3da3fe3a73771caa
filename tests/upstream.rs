//! A server for guests to call. It answers a request only when the test says so. So a task that waits for the answer
//! runs for as long as the test wants.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
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
    reader: BufReader<TcpStream>,
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
        let mut reader = BufReader::new(stream);
        let mut lines = reader.by_ref().lines();
        let line = lines.next().and_then(Result::ok).unwrap_or_default();
        let headers = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        Self { line, headers, reader }
    }

    /// Reads the request's body. Otherwise the connection would be reset when it is closed, and the caller could lose the
    /// answer.
    fn read_body(&mut self) -> io::Result<()> {
        let value = |name: &str| {
            let headers = self.headers.iter().filter_map(|line| line.split_once(": "));
            headers.filter(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next()
        };
        if let Some(length) = value("content-length").and_then(|length| length.parse().ok()) {
            io::copy(&mut self.reader.by_ref().take(length), &mut io::sink())?;
        } else if value("transfer-encoding").is_some_and(|coding| coding == "chunked") {
            let mut size = u64::MAX;
            while size > 0 {
                let mut line = String::new();
                self.reader.read_line(&mut line)?;
                size = u64::from_str_radix(line.trim_end(), 16).unwrap_or_default();
                io::copy(&mut self.reader.by_ref().take(size + 2), &mut io::sink())?;
            }
        }
        Ok(())
    }

    pub(crate) fn answer(mut self, body: &str) {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        self.read_body().expect("the body should arrive");
        self.reader.get_mut().write_all((head + body).as_bytes()).expect("the caller should wait for the answer");
    }
}
