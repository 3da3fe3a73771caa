//! A client for tests that choose the protocol (HTTP/1.1, or HTTP/2 with prior knowledge), read a body piece by piece, or need
//! trailers. Other tests use the client of `TestHost`.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri, header};
use http_body_util::{BodyExt, Collected, Empty};
use hyper::body::{Body, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A connection's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

pub(crate) const BOTH: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

/// Runs a conversation to its end, which must come within a minute.
pub(crate) fn talk<T>(conversation: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime
        .block_on(async { tokio::time::timeout(Duration::from_secs(60), conversation).await })
        .expect("the conversation should end")
}

/// Sends a request on a new connection, and reads the whole response, including its trailers.
pub(crate) fn exchange(
    address: SocketAddr,
    protocol: Protocol,
    request: Request<impl Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static>,
) -> Response<Collected<Bytes>> {
    talk(async {
        let (head, body) = send(address, protocol, request).await.into_parts();
        Response::from_parts(head, body.collect().await.expect("the body should come to its end"))
    })
}

/// Sends a GET request over HTTP/1.1, and returns the response's body as text.
pub(crate) fn get(address: SocketAddr, path: &str) -> String {
    let response = exchange(address, Protocol::Http1, Request::get(path).body(Empty::new()).unwrap());
    let body = response.into_body().to_bytes();
    String::from_utf8(body.into()).expect("the body should be text")
}

/// Opens an HTTP/1.1 connection for several requests.
pub(crate) async fn connect(address: SocketAddr) -> http1::SendRequest<Empty<Bytes>> {
    let stream = TcpStream::connect(address).await.expect("the host should be reachable");
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("the connection should open");
    tokio::spawn(connection);
    sender
}

/// Sends a request on a new connection. The connection closes when the response's body is dropped.
pub(crate) async fn send(
    address: SocketAddr,
    protocol: Protocol,
    request: Request<impl Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static>,
) -> Response<Incoming> {
    let stream = TcpStream::connect(address).await.expect("the host should be reachable");
    send_on(stream, &address.to_string(), protocol, request).await
}

/// Sends a request on a connection that is already open. A URI that is only a path is meant for `authority`.
pub(crate) async fn send_on(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    authority: &str,
    protocol: Protocol,
    request: Request<impl Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static>,
) -> Response<Incoming> {
    try_send_on(stream, authority, protocol, request).await.expect("there should be a response")
}

/// Sends a request on a connection that is already open. An error if the host breaks the connection instead of responding.
pub(crate) async fn try_send_on(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    authority: &str,
    protocol: Protocol,
    mut request: Request<impl Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static>,
) -> hyper::Result<Response<Incoming>> {
    let io = TokioIo::new(stream);
    let path = request.uri().path_and_query().expect("there should be a path").clone();
    let authority = request.uri().authority().map_or(authority, |own| own.as_str()).to_owned();
    match protocol {
        Protocol::Http1 => {
            *request.uri_mut() = Uri::from(path);
            request.headers_mut().insert(header::HOST, authority.parse().unwrap());
            let (mut sender, connection) = http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request.map(BodyExt::boxed_unsync)).await
        }
        Protocol::Http2 => {
            let uri = Uri::builder().scheme("http").authority(authority).path_and_query(path);
            *request.uri_mut() = uri.build().unwrap();
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request.map(BodyExt::boxed_unsync)).await
        }
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The part of a body that has arrived, and the rest that has not.
pub(crate) struct Reader {
    body: Incoming,
    text: String,
}

impl Reader {
    pub(crate) fn new(body: Incoming) -> Self {
        Self { body, text: String::new() }
    }

    /// Reads until `expected` has come, and drops all up to its end.
    pub(crate) async fn until(&mut self, expected: &str) {
        loop {
            if let Some(at) = self.text.find(expected) {
                self.text.drain(..at + expected.len());
                return;
            }
            let frame = self.body.frame().await.unwrap_or_else(|| panic!("no {expected:?}, but {:?}", self.text));
            if let Ok(data) = frame.expect("the body should go on").into_data() {
                self.text.push_str(std::str::from_utf8(&data).expect("the body should be text"));
            }
        }
    }

    /// Reads what is left.
    pub(crate) async fn rest(self) -> String {
        let rest = self.body.collect().await.expect("the body should come to its end").to_bytes();
        self.text + std::str::from_utf8(&rest).expect("the body should be text")
    }
}
