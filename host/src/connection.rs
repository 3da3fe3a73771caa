//! One client's connection: HTTP/1.1 or HTTP/2, each request to the component that its path belongs to.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

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

/// How long a client may take for its first request. hyper's own limit begins once it knows which version of HTTP the client
/// speaks, and for HTTP/2 there is none.
const SILENCE: Duration = Duration::from_secs(30);

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
    let asked = Cell::new(false);
    let service = service_fn(|request| {
        asked.set(true);
        respond(worker.clone(), peer.clone(), unflushed.clone(), request)
    });
    let silence = async {
        tokio::time::sleep(SILENCE).await;
        if asked.get() {
            std::future::pending().await
        }
    };

    let mut builder = Builder::new(LocalExecutor);
    // Without a timer hyper waits for a request's headers for ever.
    builder.http1().timer(TokioTimer::new());
    builder.http2().timer(TokioTimer::new());
    let mut connection = std::pin::pin!(builder.serve_connection(io, service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = silence => return,
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::app::{App, AppOptions};
    use crate::manifest::Manifest;
    use crate::summary::Observer;

    fn worker() -> Rc<Worker> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("spin.toml");
        std::fs::write(&file, "spin_manifest_version = 2\n[application]\nname = \"none\"\n").unwrap();
        let (engine, manifest) = (crate::engine::engine().unwrap(), Manifest::load(&file).unwrap());
        let app = App::load(&engine, &manifest, AppOptions::default()).unwrap();
        Rc::new(Worker::new(app.into(), None, Observer::default(), crate::shutdown::channel().1))
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_asks_for_nothing_is_not_waited_for() {
        let worker = worker();
        let local = SocketAddr::from(([127, 0, 0, 1], 80));
        for said in ["", "P", "PRI * HTTP/2.0\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"] {
            let (mut client, io) = tokio::io::duplex(1024);
            client.write_all(said.as_bytes()).await.unwrap();
            serve(worker.clone(), io, Peer { scheme: Scheme::HTTP, client: local, local }).await;
            client.read_to_end(&mut Vec::new()).await.unwrap();
        }
    }
}
