//! One client's connection: HTTP/1.1 or HTTP/2, each request to the component that its path belongs to.

use std::net::SocketAddr;
use std::rc::Rc;

use http::header::HOST;
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot::error::RecvError;
use wasmtime_wasi_http::Error;

use crate::reply::Reply;
use crate::request::plain;
use crate::routes::reserved_response;
use crate::sent::{TrackedBody, TrackedIo, Unflushed};
use crate::spin_headers::{Origin, set_spin_headers};
use crate::worker::Worker;

/// The connection's two ends, and how it speaks.
pub(crate) struct Peer {
    pub(crate) scheme: Scheme,
    pub(crate) client: SocketAddr,
    pub(crate) local: SocketAddr,
}

/// Serves a connection until the client or the host's shutdown ends it.
pub(crate) async fn serve(worker: Rc<Worker>, io: impl AsyncRead + AsyncWrite + Unpin + 'static, peer: Peer) {
    let mut shutdown = worker.shutdown.clone();
    let unflushed = Unflushed::default();
    let io = TokioIo::new(TrackedIo::new(io, unflushed.clone()));
    let peer = Rc::new(peer);
    let service = service_fn(|request| respond(worker.clone(), peer.clone(), unflushed.clone(), request));

    let mut builder = Builder::new(LocalExecutor);
    // Without a timer hyper waits for a request's headers for ever.
    builder.http1().timer(TokioTimer::new());
    builder.http2().timer(TokioTimer::new());
    let mut connection = std::pin::pin!(builder.serve_connection(io, service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = shutdown.begun() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = shutdown.stopped() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(target: "epilogue::connection", client = %peer.client, "{error}");
    }
}

/// Answers one request. Its life goes on after this, and does not end with the connection (S7).
async fn respond(
    worker: Rc<Worker>,
    peer: Rc<Peer>,
    connection: Unflushed,
    request: Request<Incoming>,
) -> Result<Response<TrackedBody>, RecvError> {
    let (mut parts, body) = request.into_parts();
    let (reply, response) = Reply::new(connection, &parts);
    if let Some((status, _)) = reserved_response(parts.uri.path()) {
        reply.send(plain(status));
    } else if let Some(matched) = worker.app.router.route(parts.uri.path()) {
        let origin = Origin { scheme: peer.scheme.as_str(), uri: &parts.uri, client: peer.client };
        set_spin_headers(&mut parts.headers, origin, &matched);
        parts.uri = absolute(&parts, &peer);
        let body = body.map_err(Error::from).boxed_unsync();
        worker.begin(*matched.target, Request::from_parts(parts, body), reply);
    } else {
        reply.send(plain(StatusCode::NOT_FOUND));
    }
    // A life that ends without an answer is a defect of the host's; hyper then closes the connection.
    response.await
}

/// The request's whole URI: WASI hands scheme and authority to the guest.
fn absolute(request: &Parts, peer: &Peer) -> Uri {
    let mut parts = request.uri.clone().into_parts();
    let host = request.headers.get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    parts.scheme = Some(peer.scheme.clone());
    parts.authority = parts.authority.or(host).or_else(|| peer.local.to_string().parse().ok());
    Uri::from_parts(parts).unwrap_or_else(|_| request.uri.clone())
}

/// Runs hyper's HTTP/2 streams on the connection's thread.
#[derive(Clone)]
struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
