//! The server: one address, as many threads as there are workers, each with a listener of its own.

use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use anyhow::{Context as _, anyhow};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::task::LocalSet;
use tokio_rustls::TlsAcceptor;

use crate::app::App;
use crate::record::RequestRecord;
use crate::shutdown::Shutdown;
use crate::summary::{Observer, Summary};
use crate::worker::Worker;

/// Connections that the kernel keeps for each worker until it accepts them.
const BACKLOG: i32 = 1024;

/// An application with an address.
pub struct Server {
    app: Arc<App>,
    address: SocketAddr,
    listeners: Vec<TcpListener>,
    tls: Option<TlsAcceptor>,
    observer: Observer,
}

impl Server {
    /// Binds `address`, port 0 for a free one, for so many workers. From here on clients can connect; they are answered
    /// once the server runs.
    ///
    /// # Errors
    ///
    /// If the address cannot be bound, as when another process listens there.
    pub fn bind(app: App, address: SocketAddr, workers: usize, tls: Option<TlsAcceptor>) -> anyhow::Result<Self> {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let listeners = listen(address, workers).with_context(|| format!("cannot listen on {scheme}://{address}"))?;
        let address = listeners.first().context("there must be a worker")?.local_addr()?;
        if tls.is_none() {
            app.set_address(address);
        }
        Ok(Self { app: Arc::new(app), address, listeners, tls, observer: Observer::default() })
    }

    /// Hands the record of each request, once it has ended, to `records`.
    pub fn observe(&mut self, records: Sender<RequestRecord>) {
        self.observer = Observer::new(Some(records));
    }

    /// The address that was bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of the address.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// The application.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Serves until `shutdown` begins and all requests and tasks have ended, or its grace has. Blocks.
    ///
    /// # Errors
    ///
    /// If a thread or its event loop cannot be started.
    pub fn run(self, shutdown: Shutdown) -> anyhow::Result<Summary> {
        let mut threads = Vec::new();
        for (index, listener) in self.listeners.into_iter().enumerate() {
            let (app, tls) = (self.app.clone(), self.tls.clone());
            let (observer, shutdown) = (self.observer.clone(), shutdown.clone());
            let work = move || -> anyhow::Result<()> {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                let local = LocalSet::new();
                let worker = Rc::new(Worker::new(app, tls, observer, shutdown));
                let ended = local.block_on(&runtime, worker.run(listener));
                drop(local);
                // Merely dropped, it would wait for what blocks in the system, such as the look-up of a name.
                runtime.shutdown_background();
                Ok(ended?)
            };
            let thread = std::thread::Builder::new().name(format!("epilogue-{index}")).spawn(work);
            threads.push(thread.context("cannot start a worker thread")?);
        }
        for thread in threads {
            thread.join().map_err(|_| anyhow!("a worker thread panicked"))?.context("a worker ended")?;
        }
        Ok(self.observer.summary())
    }
}

/// A listener for each worker. The kernel spreads connections over them.
fn listen(address: SocketAddr, workers: usize) -> anyhow::Result<Vec<TcpListener>> {
    let bind = |address: SocketAddr, shared: bool| -> std::io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(shared)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(socket)
    };
    // A shared port could be shared with another process too, which is a mistake: first see that it is free.
    drop(bind(address, false)?);
    let first = bind(address, true)?;
    let address = first.local_addr()?.as_socket().context("the address should be one of IP")?;
    let others = (1..workers).map(|_| bind(address, true));
    std::iter::once(Ok(first))
        .chain(others)
        .map(|socket| {
            let socket = socket?;
            socket.listen(BACKLOG)?;
            Ok(socket.into())
        })
        .collect()
}
