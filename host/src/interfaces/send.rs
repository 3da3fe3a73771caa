//! Sends one request of a component: looks up the server's name, connects to the server, and sends the request with
//! HTTP/1.1.
//!
//! The host does not use wasmtime's `default_send_request`, for two reasons. `default_send_request` looks up names
//! without a limit, on the threads that also read files. For each request over TLS, `default_send_request` reads all
//! root certificates again.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::uri::{PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use crate::budget::descriptors;
use crate::budget::lookups::Lookups;

/// The time limit for each step of a request if the guest has set no timeout for the step.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

/// A connection that can carry an HTTP request, with or without TLS.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

static TLS: LazyLock<Result<Arc<ClientConfig>, rustls::Error>> = LazyLock::new(|| {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    // The code names the provider, because another crate in the process may have installed a different provider.
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
});

/// A future that sends and receives the bytes of a connection. The caller must poll this future until the response's
/// body has been read.
type Driver = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// Sends a request to the server in the request's URI. Returns the response, and a future that sends and receives the
/// bytes of the connection. The caller must poll this future until the response's body has been read.
///
/// # Errors
///
/// Returns an error if the server in the URI cannot be reached, does not speak HTTP, or does not answer within the
/// timeouts of `options`.
pub(crate) async fn send(
    request: Request<WasiBody>,
    options: Option<RequestOptions>,
    lookups: Lookups,
) -> Result<(Response<ResponseBody>, Driver), Error> {
    let within = options.and_then(|options| options.connect_timeout).unwrap_or(DEFAULT_TIMEOUT);
    let stream = connect(request.uri(), within, lookups).await?;
    send_on(stream, request, options).await
}

/// Sends a request on an open connection. Returns the response, and a future that sends and receives the bytes of the
/// connection, in the same way as [`send`].
///
/// # Errors
///
/// Returns an error if the server at the other end of `stream` does not speak HTTP, or does not answer within the
/// timeouts of `options`.
pub(super) async fn send_on(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    mut request: Request<WasiBody>,
    options: Option<RequestOptions>,
) -> Result<(Response<ResponseBody>, Driver), Error> {
    let options = options.unwrap_or_default();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // The request line has only the path, because only proxies need the whole URI.
    let path = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
    let within = options.first_byte_timeout.unwrap_or(DEFAULT_TIMEOUT);
    let mut answered = pin!(timeout(within, sender.send_request(request)));
    let mut connection = Box::pin(connection);
    let mut open = true;
    let answer = tokio::select! {
        biased;
        answer = &mut answered => answer,
        ended = &mut connection => {
            ended?;
            open = false;
            answered.await
        }
    };
    let response = answer.map_err(|_| Error::ConnectionReadTimeout)??;
    let pause = options.between_bytes_timeout.unwrap_or(DEFAULT_TIMEOUT);
    let response = response.map(|body| ResponseBody { body, pause, silence: Box::pin(sleep(pause)) });
    let driver = async move { if open { connection.await.map_err(error_of) } else { Ok(()) } };
    Ok((response, Box::pin(driver)))
}

/// Connects to the server in a URI. `within` limits the time for the name lookup and the connection together, as in
/// wasmtime's own client. After that, the TLS handshake may take up to `within` too. wasmtime's client does not limit
/// the time for the handshake.
async fn connect(uri: &Uri, within: Duration, lookups: Lookups) -> Result<Box<dyn Stream>, Error> {
    let host = uri.host().ok_or(Error::HttpRequestUriInvalid)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let secure = uri.scheme() == Some(&Scheme::HTTPS);
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let stream = connect_to(host, port, lookups);
    let stream = timeout(within, stream).await.map_err(|_| Error::ConnectionTimeout)??;
    if !secure {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|_| Error::HttpRequestUriInvalid)?;
    let config = TLS.as_ref().map_err(|error| Error::Tls(io::Error::other(error.clone())))?;
    let stream = TlsConnector::from(config.clone()).connect(name, stream);
    let stream = timeout(within, stream).await.map_err(|_| Error::ConnectionTimeout)?.map_err(Error::Tls)?;
    Ok(Box::new(stream))
}

/// Looks up the addresses of `host`, and connects to one of these addresses.
async fn connect_to(host: &str, port: u16, lookups: Lookups) -> Result<TcpStream, Error> {
    let addresses = match host.parse() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => lookups.resolve(host.to_owned(), port).await.map_err(Error::Connect)?,
    };
    if !descriptors::left_for_guests() {
        return Err(Error::ConnectionLimitReached);
    }
    connect_to_one(&addresses).await.map_err(Error::Connect)
}

/// Tries to connect to one address after the other, and returns the first connection that succeeds.
async fn connect_to_one(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut failed = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn error_of(error: hyper::Error) -> Error {
    if error.is_timeout() { Error::HttpResponseTimeout } else { error.into() }
}

/// The body of a response. If the server sends nothing for longer than `pause`, the body ends with an error.
pub(crate) struct ResponseBody {
    body: Incoming,
    /// The longest time in which the server may send nothing.
    pause: Duration,
    silence: Pin<Box<Sleep>>,
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                let next = Instant::now().checked_add(self.pause);
                next.into_iter().for_each(|next| self.silence.as_mut().reset(next));
                Poll::Ready(frame.map(|frame| frame.map_err(error_of)))
            }
            Poll::Pending => self.silence.as_mut().poll(cx).map(|()| Some(Err(Error::ConnectionReadTimeout))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::budget::lookups::ComponentLookups;

    #[tokio::test]
    async fn a_server_that_is_silent_during_the_tls_handshake_is_not_waited_for() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let uri = format!("https://{}/", silent.local_addr().unwrap()).parse().unwrap();
        let lookups = ComponentLookups::default().instance();
        let connected = connect(&uri, Duration::from_millis(100), lookups).await;
        assert!(matches!(connected.err(), Some(Error::ConnectionTimeout)));
    }
}
