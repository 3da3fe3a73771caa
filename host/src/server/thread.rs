//! A serving thread, with its own instances and requests. A request stays on the same thread until its end.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use epilogue_manifest::settings::HostOptions;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;
use wasmtime_wasi_http::handler::Request;

use crate::app::version::Version;
use crate::budget::address::{Address, Addresses};
use crate::component::Component;
use crate::component::lag::Lag;
use crate::component::pool::{Pool, max_idle};
use crate::interfaces::chaining::{Call, Chaining};
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
    /// Counts the connections and requests of each client address.
    pub(super) addresses: Addresses,
    /// Limits the log lines about refused requests.
    refusals: OnceAMinute,
    /// Limits the log lines about connections that wait because `max-connections` is reached.
    pub(super) crowds: OnceAMinute,
    /// Limits the log lines about connections that wait because few file descriptors are left.
    pub(super) shortages: OnceAMinute,
    /// Limits the log lines about connections that a thread failed to accept.
    pub(super) failures: OnceAMinute,
    /// Has one permit for each further connection that clients may open.
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

/// A serving thread, with the data that the thread's connections share.
pub(crate) struct ServerThread {
    pub(crate) host: Arc<Host>,
    pub(crate) shutdown: Shutdown,
    /// The host's observer. The threads have separate reference counts, because a shared one would slow down each
    /// request.
    pub(super) observer: Rc<Observer>,
    versions: RefCell<watch::Receiver<Arc<Version>>>,
    serving: RefCell<Rc<Serving>>,
    /// Tracks the connections and requests of this thread that have not ended.
    pub(super) alive: TaskTracker,
    lag: Option<Lag>,
    ticks: Ticks,
    /// Connects this thread's components, so that a component can send requests to another component.
    pub(super) chaining: Chaining,
}

/// A version of the application on one thread. A connection or a request uses the version that is the newest at the
/// beginning of the connection or request.
pub(crate) struct Serving {
    pub(crate) version: Arc<Version>,
    /// The pool of each component, in the order of the application's components.
    pub(crate) pools: Vec<Rc<Pool>>,
}

impl Serving {
    fn new(version: Arc<Version>, options: &HostOptions, shutdown: &Shutdown, chaining: &Chaining) -> Self {
        let components = version.app.components.iter();
        let max_idle = max_idle(options.max_instances, options.threads.get() * components.len());
        let pool = |component: &Arc<Component>| {
            Rc::new(Pool::new(component.clone(), shutdown.clone(), chaining.clone(), max_idle))
        };
        let pools = components.map(pool).collect();
        Self { version, pools }
    }
}

impl ServerThread {
    /// Makes the data of a thread, and begins to serve the calls between the thread's components.
    pub(crate) fn start(host: Arc<Host>, shutdown: Shutdown) -> Rc<Self> {
        let (thread, calls) = Self::new(host, shutdown);
        let thread = Rc::new(thread);
        // Both tokio tasks end with the thread.
        tokio::task::spawn_local(thread.clone().follow());
        tokio::task::spawn_local(thread.clone().serve_calls(calls));
        thread
    }

    /// Makes the data of a thread. Returns the thread, and the receiver for the calls that the thread's components
    /// make.
    pub(super) fn new(host: Arc<Host>, shutdown: Shutdown) -> (Self, UnboundedReceiver<Call>) {
        let mut versions = host.versions.clone();
        let (chaining, calls) = Chaining::channel();
        let serving = Serving::new(versions.borrow_and_update().clone(), &host.options, &shutdown, &chaining);
        let thread = Self {
            versions: versions.into(),
            serving: RefCell::new(serving.into()),
            lag: host.options.max_lag.limit().map(Lag::new),
            observer: Rc::new(host.observer.clone()),
            host,
            shutdown,
            alive: TaskTracker::new(),
            ticks: Ticks::default(),
            chaining,
        };
        (thread, calls)
    }

    /// Returns the newest version of the application. After a reload of the application, new requests and connections
    /// get the new version. Requests and connections that began before the reload keep the old version.
    pub(crate) fn serving(&self) -> Rc<Serving> {
        let mut versions = self.versions.borrow_mut();
        if versions.has_changed().unwrap_or(false) {
            let newest = versions.borrow_and_update().clone();
            let newest = Serving::new(newest, &self.host.options, &self.shutdown, &self.chaining);
            let old = self.serving.replace(newest.into());
            old.pools.iter().for_each(|pool| pool.retire());
        }
        self.serving.borrow().clone()
    }

    /// Starts a request in its own tokio task. If a limit does not allow one more request, answers 503 instead.
    pub(crate) fn begin(&self, pool: Rc<Pool>, request: Request, reply: Reply) {
        let slot = match self.admit(&reply) {
            Ok(slot) => slot,
            Err(refused) => return self.refuse(refused, reply),
        };
        self.live(pool, slot, request, reply);
    }

    /// Starts an admitted request in its own tokio task.
    pub(super) fn live(&self, pool: Rc<Pool>, slot: Slot, request: Request, reply: Reply) {
        self.ticks.come();
        let observer = self.observer.clone();
        // The future is boxed at once, because it takes some kilobytes and would otherwise be copied several times.
        self.alive.spawn_local(Box::pin(request::serve(pool, slot, observer, request, reply)));
    }

    fn admit(&self, reply: &Reply) -> Result<Slot, Refused> {
        if reply.is_over(self.host.options.max_streams.get() as usize) {
            return Err(Refused::of_client("max-streams"));
        }
        let at_work =
            self.lag.as_ref().map(|lag| lag.admit(reply.arrived).ok_or(Refused::of_host("max-lag"))).transpose()?;
        self.host.admission.admit(at_work, reply.address())
    }

    /// Admits a call from one component to another component on this thread. `max-lag` does not apply to a call,
    /// because the calling component already runs.
    pub(super) fn admit_call(&self, address: &Arc<Address>) -> Result<Slot, Refused> {
        self.host.admission.admit(None, address).inspect_err(Refused::count)
    }

    fn refuse(&self, refused: Refused, reply: Reply) {
        refused.count();
        let limit = refused.limit;
        if refused.is_clients
            && let Some(times) = self.host.refusals.due()
        {
            let client = reply.address().to_string();
            tracing::warn!(
                target: "epilogue::connection",
                times,
                limit,
                client,
                "requests are refused, because their clients have reached a limit"
            );
        }
        reply.send(unavailable());
    }
}
