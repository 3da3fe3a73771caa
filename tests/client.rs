//! Clients that behave as no HTTP library does: slow ones, and ones that leave.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime};

use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use socket2::{Domain, Socket, Type};

/// A connection whose kernel buffer is as small as it can be.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    socket.connect(&address.into()).unwrap();
    socket.into()
}

/// Sends a request without a body.
pub(crate) fn request(stream: &mut TcpStream, method: &str, path: &str) {
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
}

/// Reads so many bytes and no more.
pub(crate) fn read(stream: &mut TcpStream, count: usize) {
    let mut left = count;
    let mut buffer = vec![0; 64 * 1024];
    while left > 0 {
        let read = stream.read(&mut buffer[..left.min(64 * 1024)]).unwrap();
        assert_ne!(read, 0, "the response ended {left} bytes early");
        left -= read;
    }
}

/// Reads up to the empty line that ends a response's head.
pub(crate) fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Gets a body over HTTP/2, with the smallest windows. When all but `margin` of its `size` bytes have come, calls
/// `nearly`. Returns the status and the number of bytes.
pub(crate) fn http2(
    address: SocketAddr,
    method: &str,
    path: &str,
    nearly_at: usize,
    mut nearly: impl FnMut(),
) -> (u16, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (mut requests, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(65_535)
            .initial_connection_window_size(65_535)
            .handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let request = http::Request::builder()
            .method(method)
            .uri(format!("http://{address}{path}"))
            .body(Empty::<bytes::Bytes>::new())
            .unwrap();
        let response = requests.send_request(request).await.unwrap();
        let status = response.status().as_u16();
        let mut body = response.into_body();
        let mut count = 0;
        while let Some(frame) = body.frame().await {
            let before = count;
            count += frame.unwrap().into_data().map_or(0, |data| data.len());
            if before < nearly_at && count >= nearly_at {
                nearly();
            }
        }
        (status, count)
    })
}

/// The time of day, in microseconds, as guests see it too.
pub(crate) fn now() -> u128 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros()
}
