//! Sends one request for a test, on a new connection.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;

/// Sends a request and reads the whole response. Returns an error if the response takes longer than `patience`.
pub(super) fn exchange(
    address: SocketAddr,
    request: Request<Bytes>,
    patience: Duration,
) -> anyhow::Result<Response<Bytes>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let conversation = async {
        let stream = tokio::net::TcpStream::connect(address).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let (parts, body) = sender.send_request(request.map(Full::new)).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        connection.abort();
        Ok(Response::from_parts(parts, body))
    };
    runtime.block_on(async { tokio::time::timeout(patience, conversation).await? })
}
