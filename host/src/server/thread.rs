//! One thread of the server: its own instances and requests. A request stays on its thread.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use epilogue_manifest::settings::HostOptions;
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;
use wasmtime_wasi_http::handler::Request;

use crate::app::version::Version;
use crate::budget::address::Addresses;
use crate::component::Component;
use crate::component::lag::Lag;
use crate::component::pool::{Pool, max_idle};
use crate::process::shutdown::Shutdown;
use crate::request;
use crate::request::admission::{Admission, Refused, Slot};
use crate::server::tick::Ticks;
use crate::tasks::observer::Observer;
use crate::telemetry::once_a_minute::OnceAMinute;
use crate::wire::answer::unavailable;
use crate::wire::reply::Reply;

/// The data that all threads of the server share.
pub(crate) struct Host {
    pub(super) versions: watch::Receiver<Arc<Version>>,
    pub(crate) options: HostOptions,
    pub(crate) observer: Observer,
    admission: Arc<Admission>,
    /// The counts of each client address.
    pub(super) addresses: Addresses,
    /// Limits the log lines about refused clients.
    refusals: OnceAMinute,
    /// Limits the log lines about connections that wait because there are too many.
    pub(super) crowds: OnceAMinute,
    /// Limits the log lines about connections that wait because few file descriptors are left.
    pub(super) shortages: OnceAMinute,
    /// Limits the log lines about connections that could not be accepted.
    pub(super) failures: OnceAMinute,
    /// One permit for each connection that may still be opened.
    pub(super) connections: Arc<Semaphore>,
}

impl Host {
    pub(crate) fn new(
        versions: watch::Receiver<Arc<Version>>,
        options: HostOptions,
        observer: Observer,
        admission: Arc<Admission>,
    ) -> Self {
        let connections = Semaphore::new(options.max_connections.get().min(Semaphore::MAX_PERMITS));
        Self {
            versions,
            observer,
            admission,
            addresses: Addresses::default(),
            refusals: OnceAMinute::default(),
            crowds: OnceAMinute::default(),
            shortages: OnceAMinute::default(),
            failures: OnceAMinute::default(),
            connections: connections.into(),
            options,
        }
    }
}

/// One thread of the server, with the data that its connections share.
pub(crate) struct ServerThread {
    pub(crate) host: Arc<Host>,
    pub(crate) shutdown: Shutdown,
    versions: RefCell<watch::Receiver<Arc<Version>>>,
    serving: RefCell<Rc<Serving>>,
    /// Connections and requests that have not ended.
    pub(super) alive: TaskTracker,
    lag: Option<Lag>,
    ticks: Ticks,
}

/// A version of the application on one thread. Requests and connections that begin while it is the newest version use
/// it.
pub(crate) struct Serving {
    pub(crate) version: Arc<Version>,
    /// The pool of each component, by the component's place in the application.
    pub(crate) pools: Vec<Rc<Pool>>,
}

impl Serving {
    fn new(version: Arc<Version>, options: &HostOptions, shutdown: &Shutdown) -> Self {
        let components = version.app.components.iter();
        let max_idle = max_idle(options.max_instances, options.threads.get() * components.len());
        let pool = |component: &Arc<Component>| Rc::new(Pool::new(component.clone(), shutdown.clone(), max_idle));
        let pools = components.map(pool).collect();
        Self { version, pools }
    }
}

impl ServerThread {
    pub(crate) fn new(host: Arc<Host>, shutdown: Shutdown) -> Self {
        let mut versions = host.versions.clone();
        let serving = Serving::new(versions.borrow_and_update().clone(), &host.options, &shutdown);
        Self {
            versions: versions.into(),
            serving: RefCell::new(serving.into()),
            lag: host.options.max_lag.limit().map(Lag::new),
            host,
            shutdown,
            alive: TaskTracker::new(),
            ticks: Ticks::default(),
        }
    }

    /// The newest version. After a reload, new requests and connections get the new version. Running ones keep the old
    /// version.
    pub(crate) fn serving(&self) -> Rc<Serving> {
        let mut versions = self.versions.borrow_mut();
        if versions.has_changed().unwrap_or(false) {
            let newest = Serving::new(versions.borrow_and_update().clone(), &self.host.options, &self.shutdown);
            let old = self.serving.replace(newest.into());
            old.pools.iter().for_each(|pool| pool.retire());
        }
        self.serving.borrow().clone()
    }

    /// Begins the life of a request. It runs to its end by itself. Nothing waits for it.
    pub(crate) fn begin(&self, pool: Rc<Pool>, request: Request, reply: Reply) {
        let slot = match self.admit(&reply) {
            Ok(slot) => slot,
            Err(refused) => return self.refuse(refused, reply),
        };
        self.ticks.come();
        let observer = self.host.observer.clone();
        // Boxed from the beginning, because it has some kilobytes and would otherwise be moved several times.
        self.alive.spawn_local(Box::pin(request::serve(pool, slot, observer, request, reply)));
    }

    fn admit(&self, reply: &Reply) -> Result<Slot, Refused> {
        if reply.is_over(self.host.options.max_streams.get() as usize) {
            return Err(Refused::of_client("max-streams"));
        }
        let at_work = self.lag.as_ref().map(|lag| lag.admit().ok_or(Refused::of_host("max-lag"))).transpose()?;
        self.host.admission.admit(at_work, reply.address())
    }

    fn refuse(&self, refused: Refused, reply: Reply) {
        let limit = refused.limit;
        metrics::counter!("epilogue_requests_refused_total", "limit" => limit).increment(1);
        if refused.is_clients
            && let Some(times) = self.host.refusals.due()
        {
            let client = reply.address().to_string();
            tracing::warn!(target: "epilogue::connection", times, limit, client, "requests of clients beyond their limit are refused");
        }
        reply.send(unavailable());
    }
}
