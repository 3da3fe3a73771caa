//! The server listens on one address with several serving threads. Each serving thread has its own listener.

mod accept;
mod arrival;
pub(crate) mod chained;
pub(crate) mod client_io;
pub(crate) mod connection;
pub(crate) mod control;
pub(crate) mod linger;
pub(crate) mod overview;
pub(crate) mod progress;
pub(crate) mod request_headers;
pub(crate) mod spin_headers;
pub(crate) mod thread;
pub(crate) mod tick;
pub(crate) mod tls;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use anyhow::Context as _;
use epilogue_manifest::settings::HostOptions;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio_rustls::TlsAcceptor;

use crate::app::App;
use crate::app::version::Replacer;
use crate::budget::descriptors;
use crate::process::shutdown::Shutdown;
use crate::process::threads::{self, EventLoop};
use crate::reports::Reports;
use crate::request::admission::Admission;
use crate::server::progress::Progress;
use crate::server::thread::{Host, ServerThread};
use crate::tasks::observer::{Observer, Summary};
use crate::tasks::record::RequestRecord;
use crate::tasks::store::TaskStore;
use crate::worker::Workers;

/// The largest number of new connections that the kernel keeps for each serving thread until the thread accepts them.
const BACKLOG: i32 = 1024;
/// If a client sends nothing for the first of these two durations, the kernel checks whether the client still exists.
/// The other duration is the time from one check to the next check.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(10));
/// The number of unsent bytes that the kernel buffers for each connection. With a larger buffer, the host would notice
/// later that a client has stopped reading.
const UNSENT: u32 = 128 * 1024;

/// A server for an application, with its listeners and its event loops.
pub(crate) struct Server {
    options: HostOptions,
    address: SocketAddr,
    listeners: Vec<(TcpListener, EventLoop)>,
    replacer: Replacer,
    observer: Observer,
    /// Counts the durable tasks that run in this process.
    worked: Observer,
    /// The task engine, and the event loops of the threads that run durable tasks. The value is `None` if this process
    /// runs no durable tasks.
    workers: Option<(TaskStore, Vec<EventLoop>)>,
    admission: Arc<Admission>,
}

impl Server {
    /// Binds the address in `options`, with a listener for each serving thread. The server passes the timelines of
    /// requests to `reports`. When this function has returned, clients can connect, but the server answers their
    /// requests only after the caller has called [`Server::run`].
    ///
    /// # Errors
    ///
    /// Returns an error if the address cannot be bound, for example because another process listens on the address.
    /// Also returns an error if the process has too few file descriptors for the threads' event loops.
    pub(crate) fn bind(
        app: App,
        options: HostOptions,
        tls: Option<TlsAcceptor>,
        reports: &Reports,
    ) -> anyhow::Result<Self> {
        options.check()?;
        descriptors::check(&options);
        let scheme = if tls.is_some() { "https" } else { "http" };
        let address = options.listen;
        let listeners =
            listen(address, options.threads.get()).with_context(|| format!("cannot listen on {scheme}://{address}"))?;
        let address = listeners.first().context("there must be a thread")?.local_addr()?;
        let admission = Arc::new(Admission::new(&options));
        let listeners = listeners.into_iter().zip(EventLoop::for_each(options.threads.get())?).collect();
        let task_store = app.task_store.clone().filter(|_| options.work);
        let workers = task_store.map(|task_store| anyhow::Ok((task_store, Workers::event_loops(&options)?)));
        let workers = workers.transpose()?;
        let replacer = Replacer::new(app, tls, Some(address));
        let observer = Observer::with_readers(reports.readers.clone());
        let worked = Observer::with_readers(reports.readers.clone());
        Ok(Self { options, address, listeners, replacer, observer, worked, workers, admission })
    }

    /// Sends the record of each request to `records` when the request has ended.
    pub(crate) fn observe(&mut self, records: Sender<RequestRecord>) {
        self.observer.observe(records);
    }

    /// Sends the record of each batch that this process runs to `records` when the batch has ended.
    pub(crate) fn observe_work(&mut self, records: Sender<RequestRecord>) {
        self.worked.observe(records);
    }

    /// Returns the address that the server listens on.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL of the server's address.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.replacer.is_https() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    pub(crate) fn replacer(&self) -> Replacer {
        self.replacer.clone()
    }

    pub(crate) fn progress(&self) -> Progress {
        Progress::of_server(self.admission.clone(), self.observer.clone(), self.worked.clone())
    }

    /// Serves requests until `shutdown` has begun and all requests and tasks have ended, or until the grace period has
    /// passed. Blocks the calling thread.
    ///
    /// # Errors
    ///
    /// Returns an error if a thread cannot be started, or if a thread ends before the shutdown. If a thread ends too
    /// early, the other threads have the grace period to finish their requests and tasks.
    pub(crate) fn run(self, shutdown: Shutdown) -> anyhow::Result<Summary> {
        let grace = self.options.grace;
        let observer = self.observer.clone();
        let versions = self.replacer.versions();
        let worked = self.worked;
        let workers = self.workers.map(|(task_store, event_loops)| {
            Workers::new(versions.clone(), task_store, &self.options, worked.clone(), event_loops)
        });
        let host = Arc::new(Host::new(versions, self.options, self.observer, self.admission));
        let serve_calls = chained::serve_calls(host.clone());
        let work = |(listener, event_loop): (TcpListener, EventLoop)| {
            let (host, shutdown) = (host.clone(), shutdown.clone());
            move || -> anyhow::Result<()> {
                let serve = || ServerThread::start(host, shutdown).run(listener);
                Ok(event_loop.block_on(serve)?)
            }
        };
        type Job = Box<dyn FnOnce() -> anyhow::Result<()> + Send>;
        let serving = self.listeners.into_iter().map(work).map(|work| -> Job { Box::new(work) });
        let working = workers
            .into_iter()
            .flat_map(|workers| workers.works(&shutdown, &serve_calls))
            .map(|work| -> Job { Box::new(work) });
        threads::run(serving.chain(working), &shutdown, grace)?;
        Ok(observer.summary().with_tasks_of(worked.summary()))
    }
}

/// Raises the process's limit of open files as far as the system allows, because each connection counts as an open
/// file.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(target: "epilogue::server", "cannot raise the number of open files above {:?}: {error}", limit.current);
    }
}

/// Makes a listener for each serving thread. The kernel distributes new connections among the listeners.
fn listen(address: SocketAddr, threads: usize) -> anyhow::Result<Vec<TcpListener>> {
    let bind = |address: SocketAddr, shared: bool| -> std::io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(shared)?;
        socket.set_nonblocking(true)?;
        // Each connection inherits these options.
        let (silence, interval) = KEEPALIVE;
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(silence).with_interval(interval))?;
        socket.set_tcp_notsent_lowat(UNSENT)?;
        socket.bind(&address.into())?;
        Ok(socket)
    };
    // The listeners share one port. Another process could share the port by mistake, so this function first checks that
    // the port is free.
    drop(bind(address, false)?);
    let first = bind(address, true)?;
    let address = first.local_addr()?.as_socket().context("the address should be one of IP")?;
    let others = (1..threads).map(|_| bind(address, true));
    std::iter::once(Ok(first))
        .chain(others)
        .map(|socket| {
            let socket = socket?;
            socket.listen(BACKLOG)?;
            Ok(socket.into())
        })
        .collect()
}
