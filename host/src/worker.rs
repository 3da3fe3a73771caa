//! One thread of the server: its own listener, instances and requests. A request stays on its thread.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Scheme;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;
use wasmtime_wasi_http::handler::Request;

use crate::app::App;
use crate::connection::{self, Peer};
use crate::pool::Pool;
use crate::reply::Reply;
use crate::request;
use crate::shutdown::Shutdown;
use crate::summary::Observer;

/// How long a client may take for the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The pause after a connection could not be accepted, as when the process has too many files open.
const PAUSE: Duration = Duration::from_millis(50);

/// What the connections of one thread share.
pub(crate) struct Worker {
    pub(crate) app: Arc<App>,
    pub(crate) shutdown: Shutdown,
    tls: Option<TlsAcceptor>,
    observer: Observer,
    /// By the component's place in the application.
    pools: Vec<Rc<Pool>>,
    /// Connections and requests that have not ended.
    alive: TaskTracker,
}

impl Worker {
    pub(crate) fn new(app: Arc<App>, tls: Option<TlsAcceptor>, observer: Observer, shutdown: Shutdown) -> Self {
        let pools =
            app.components.iter().map(|component| Rc::new(Pool::new(component.clone(), shutdown.clone()))).collect();
        Self { app, shutdown, tls, observer, pools, alive: TaskTracker::new() }
    }

    /// Accepts connections until the shutdown begins, then waits until each request and its tasks have ended.
    pub(crate) async fn run(self: Rc<Self>, listener: std::net::TcpListener) -> io::Result<()> {
        let listener = TcpListener::from_std(listener)?;
        let mut shutdown = self.shutdown.clone();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = shutdown.begun() => break,
            };
            match accepted {
                Ok((stream, client)) => _ = self.alive.spawn_local(self.clone().connection(stream, client)),
                Err(error) => {
                    tracing::warn!(target: "epilogue::connection", "cannot accept a connection: {error}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        drop(listener);
        self.alive.close();
        self.alive.wait().await;
        Ok(())
    }

    async fn connection(self: Rc<Self>, stream: TcpStream, client: std::net::SocketAddr) {
        // Small writes are not held back for more to come: they are responses, and tasks wait for them.
        let set_up = stream.set_nodelay(true).and_then(|()| stream.local_addr());
        let local = match set_up {
            Ok(local) => local,
            // The client has gone already.
            Err(_) => return,
        };
        match self.tls.clone() {
            None => connection::serve(self, stream, Peer { scheme: Scheme::HTTP, client, local }).await,
            Some(tls) => {
                let mut shutdown = self.shutdown.clone();
                let shaken = tokio::select! {
                    shaken = tokio::time::timeout(HANDSHAKE, tls.accept(stream)) => shaken,
                    // It has asked for nothing yet.
                    _ = shutdown.begun() => return,
                };
                match shaken {
                    Ok(Ok(stream)) => {
                        connection::serve(self, stream, Peer { scheme: Scheme::HTTPS, client, local }).await;
                    }
                    Ok(Err(error)) => {
                        tracing::debug!(target: "epilogue::connection", %client, "no TLS handshake: {error}");
                    }
                    Err(_) => {
                        tracing::debug!(target: "epilogue::connection", %client, "the TLS handshake took too long");
                    }
                }
            }
        }
    }

    /// Begins the life of a request, which ends in its own time.
    pub(crate) fn begin(self: &Rc<Self>, component: usize, request: Request, reply: Reply) {
        let pool = self.pools[component].clone();
        let observer = self.observer.clone();
        self.alive.spawn_local(async move {
            if let Some(record) = request::serve(pool, request, reply).await {
                observer.ended(record);
            }
        });
    }
}
