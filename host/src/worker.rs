//! One thread of the server: its own listener, instances and requests. A request stays on its thread.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Scheme;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;
use wasmtime_wasi_http::handler::Request;

use crate::admission::{Admission, Refused};
use crate::app::App;
use crate::component::Component;
use crate::connection::{self, Peer};
use crate::lag::Lag;
use crate::pool::{Pool, max_idle};
use crate::reply::Reply;
use crate::request::{self, unavailable};
use crate::settings::HostOptions;
use crate::shutdown::Shutdown;
use crate::summary::Observer;
use crate::tick::Ticks;

/// How long a client may take for the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The pause after a connection could not be accepted, as when the process has too many files open.
const PAUSE: Duration = Duration::from_millis(50);

/// A version of the application: what a reload replaces.
pub(crate) struct Version {
    pub(crate) app: App,
    pub(crate) tls: Option<TlsAcceptor>,
}

impl Version {
    /// Sets the address at which the application is reached, unless it serves https: requests of an application to
    /// itself do not speak that.
    pub(crate) fn publish_address(&self, address: Option<SocketAddr>) {
        if let (None, Some(address)) = (&self.tls, address) {
            self.app.set_address(address);
        }
    }
}

/// What all threads of the server share.
pub(crate) struct Host {
    versions: watch::Receiver<Arc<Version>>,
    pub(crate) options: HostOptions,
    pub(crate) observer: Observer,
    admission: Arc<Admission>,
    /// One permit for each connection that may still be opened.
    connections: Arc<Semaphore>,
}

impl Host {
    pub(crate) fn new(
        versions: watch::Receiver<Arc<Version>>,
        options: HostOptions,
        observer: Observer,
        admission: Arc<Admission>,
    ) -> Self {
        let connections = Semaphore::new(options.max_connections.get().min(Semaphore::MAX_PERMITS));
        Self { versions, observer, admission, connections: connections.into(), options }
    }
}

/// What the connections of one thread share.
pub(crate) struct Worker {
    pub(crate) host: Arc<Host>,
    pub(crate) shutdown: Shutdown,
    versions: RefCell<watch::Receiver<Arc<Version>>>,
    serving: RefCell<Rc<Serving>>,
    /// Connections and requests that have not ended.
    alive: TaskTracker,
    lag: Option<Lag>,
    ticks: Ticks,
}

/// A version on one thread, for the requests and connections that begin while it is the newest one.
pub(crate) struct Serving {
    pub(crate) version: Arc<Version>,
    /// The pool of each component, by the component's place in the application.
    pub(crate) pools: Vec<Rc<Pool>>,
}

impl Serving {
    fn new(version: Arc<Version>, options: &HostOptions, shutdown: &Shutdown) -> Self {
        let components = version.app.components.iter();
        let max_idle = max_idle(options.max_instances, options.workers.get() * components.len());
        let pool = |component: &Arc<Component>| Rc::new(Pool::new(component.clone(), shutdown.clone(), max_idle));
        let pools = components.map(pool).collect();
        Self { version, pools }
    }
}

impl Worker {
    pub(crate) fn new(host: Arc<Host>, shutdown: Shutdown) -> Self {
        let mut versions = host.versions.clone();
        let serving = Serving::new(versions.borrow_and_update().clone(), &host.options, &shutdown);
        Self {
            versions: versions.into(),
            serving: RefCell::new(serving.into()),
            lag: host.options.max_lag.map(Lag::new),
            host,
            shutdown,
            alive: TaskTracker::new(),
            ticks: Ticks::default(),
        }
    }

    /// The newest version. Requests and connections that begin after a reload get the new one, and those that have the
    /// old one keep it.
    pub(crate) fn serving(&self) -> Rc<Serving> {
        let mut versions = self.versions.borrow_mut();
        if versions.has_changed().unwrap_or(false) {
            let newest = Serving::new(versions.borrow_and_update().clone(), &self.host.options, &self.shutdown);
            let old = self.serving.replace(newest.into());
            old.pools.iter().for_each(|pool| pool.retire());
        }
        self.serving.borrow().clone()
    }

    /// Accepts connections until the shutdown begins, then waits until each request and its tasks have ended.
    pub(crate) async fn run(self: Rc<Self>, listener: std::net::TcpListener) -> io::Result<()> {
        let listener = TcpListener::from_std(listener)?;
        let mut shutdown = self.shutdown.clone();
        tokio::select! {
            () = self.accept_all(&listener) => {}
            () = self.follow() => {}
            _ = shutdown.begun() => {}
        }
        drop(listener);
        self.alive.close();
        self.alive.wait().await;
        Ok(())
    }

    async fn accept_all(self: &Rc<Self>, listener: &TcpListener) {
        loop {
            match self.accept(listener).await {
                Ok((stream, client, permit)) => {
                    let connection = self.clone().connection(stream, client);
                    self.alive.spawn_local(async move {
                        connection.await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    let error = error.to_string();
                    tracing::warn!(target: "epilogue::connection", error, "cannot accept a connection");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Takes each new version as it comes, so that the idle instances of the old one are dropped even if no request
    /// comes.
    async fn follow(&self) {
        let mut versions = self.host.versions.clone();
        while versions.changed().await.is_ok() {
            self.serving();
        }
        std::future::pending().await
    }

    /// Accepts the next connection once there is room for it. Until then connections wait in the kernel's backlog: a
    /// client that is turned away would only come again.
    async fn accept(&self, listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let (stream, client) = listener.accept().await?;
        let connections = self.host.connections.clone();
        let permit = match connections.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                tracing::warn!(
                    target: "epilogue::connection",
                    max_connections = self.host.options.max_connections,
                    "as many connections are open as max-connections allows: others wait"
                );
                connections.acquire_owned().await.map_err(io::Error::other)?
            }
        };
        Ok((stream, client, permit))
    }

    async fn connection(self: Rc<Self>, stream: TcpStream, client: SocketAddr) {
        // Small writes are not held back for more to come: they are responses, and tasks wait for them.
        let set_up = stream.set_nodelay(true).and_then(|()| stream.local_addr());
        let local = match set_up {
            Ok(local) => local,
            // The client has gone already.
            Err(_) => return,
        };
        match self.serving().version.tls.clone() {
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
                        let error = error.to_string();
                        tracing::debug!(target: "epilogue::connection", %client, error, "no TLS handshake");
                    }
                    Err(_) => {
                        tracing::debug!(target: "epilogue::connection", %client, "the TLS handshake took too long");
                    }
                }
            }
        }
    }

    /// Begins the life of a request. It ends on its own, and nobody waits for it.
    pub(crate) fn begin(&self, pool: Rc<Pool>, request: Request, reply: Reply) {
        let at_work = self.lag.as_ref().map(|lag| lag.admit().ok_or(Refused("max-lag"))).transpose();
        let slot = match at_work.and_then(|at_work| self.host.admission.admit(at_work)) {
            Ok(slot) => slot,
            Err(Refused(limit)) => {
                metrics::counter!("epilogue_requests_refused_total", "limit" => limit).increment(1);
                reply.send(unavailable());
                return;
            }
        };
        self.ticks.come();
        let observer = self.host.observer.clone();
        // In its place from the beginning: it is some kilobytes, and would be moved a few times on its way into the task.
        self.alive.spawn_local(Box::pin(request::serve(pool, slot, observer, request, reply)));
    }
}
