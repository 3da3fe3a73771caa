//! Starts threads that lease batches and run the batches' tasks. Each thread has its own instances.

use std::fs;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use epilogue_engines::{self as engines, Lease};
use epilogue_manifest::settings::HostOptions;
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::held::{Failures, Held};
use super::{lease, moment::Moment, outage::Outage};
use crate::app::version::Version;
use crate::component::Component;
use crate::component::pool::{Pool, max_idle};
use crate::interfaces::chaining::{Chaining, ServeCalls, Served};
use crate::process::shutdown::Shutdown;
use crate::process::threads::EventLoop;
use crate::tasks::observer::Observer;
use crate::tasks::store::TaskStore;

/// The longest time that one call to the task engine waits for a batch. The time is short, because a shutdown must wait
/// until the call has returned.
const WAIT: Duration = Duration::from_secs(1);
/// The pause after a failed call to the task engine, before the worker calls the task engine again.
const PAUSE: Duration = Duration::from_secs(1);

/// The threads of this process that run durable tasks.
pub(crate) struct Workers {
    event_loops: Vec<EventLoop>,
    shared: Shared,
}

/// The data that all worker threads of this process share.
#[derive(Clone)]
struct Shared {
    /// The newest version of the application.
    versions: watch::Receiver<Arc<Version>>,
    task_store: TaskStore,
    /// The name of this process in the leases that the task engine stores. No other process has the same name.
    name: String,
    threads: usize,
    concurrency: usize,
    max_instances: NonZeroU32,
    observer: Observer,
    outage: Arc<Outage>,
    failures: Arc<Failures>,
}

impl Workers {
    /// Makes the event loops of the threads.
    ///
    /// # Errors
    ///
    /// Returns an error if the process has no file descriptors left for the event loops.
    pub(crate) fn event_loops(options: &HostOptions) -> anyhow::Result<Vec<EventLoop>> {
        EventLoop::for_each(options.threads.get().min(options.concurrency.get()))
    }

    /// Prepares one worker thread for each of `event_loops`. The threads run the durable tasks of an application.
    pub(crate) fn new(
        versions: watch::Receiver<Arc<Version>>,
        task_store: TaskStore,
        options: &HostOptions,
        observer: Observer,
        event_loops: Vec<EventLoop>,
    ) -> Self {
        let shared = Shared {
            versions,
            task_store,
            name: name(options.worker_id.as_deref()),
            threads: event_loops.len(),
            concurrency: options.concurrency.get(),
            max_instances: options.max_instances,
            observer,
            outage: Arc::default(),
            failures: Arc::default(),
        };
        Self { event_loops, shared }
    }

    /// Returns one function for each thread. The caller must run each function on its own thread. Each function leases
    /// and runs batches until the shutdown begins, and then waits until its running batches have ended.
    pub(crate) fn works(
        self,
        shutdown: &Shutdown,
        serve_calls: &ServeCalls,
    ) -> impl Iterator<Item = impl FnOnce() -> anyhow::Result<()> + Send + use<>> {
        let Self { event_loops, shared } = self;
        tracing::info!(target: "epilogue::worker", "durable tasks are run here, by {}", shared.name);
        let (shutdown, serve_calls) = (shutdown.clone(), serve_calls.clone());
        event_loops.into_iter().enumerate().map(move |(thread, event_loop)| {
            let (shared, shutdown, serve_calls) = (shared.clone(), shutdown.clone(), serve_calls.clone());
            move || {
                event_loop.block_on(|| shared.run(thread, shutdown, serve_calls));
                Ok(())
            }
        })
    }
}

impl Shared {
    /// Makes a pool of instances for each component of the application's newest version.
    fn pools(&mut self, shutdown: &Shutdown, chaining: &Chaining) -> Rc<[Rc<Pool>]> {
        let version = self.versions.borrow_and_update();
        let components = &version.app.components;
        // If a server runs in the same process, it has the same number of threads and pools. So the number of pools is
        // doubled here.
        let max_idle = max_idle(self.max_instances, 2 * self.threads * components.len());
        let pool = |component: &Arc<Component>| {
            Rc::new(Pool::new(component.clone(), shutdown.clone(), chaining.clone(), max_idle))
        };
        components.iter().map(pool).collect()
    }

    async fn run(mut self, thread: usize, mut shutdown: Shutdown, serve_calls: ServeCalls) {
        let Served { chaining, ended } = serve_calls(&shutdown);
        let mut pools = self.pools(&shutdown, &chaining);
        let share = (self.concurrency + self.threads - 1 - thread) / self.threads;
        let room = Arc::new(Semaphore::new(share.min(Semaphore::MAX_PERMITS)));
        let alive = TaskTracker::new();
        let observer = Rc::new(self.observer.clone());
        loop {
            let permit = tokio::select! {
                biased;
                _ = shutdown.begun() => break,
                permit = room.clone().acquire_owned() => permit,
            };
            let asked = Moment::now();
            let leased = self.lease().await;
            // The thread checks for a new version even if it has no work, so that it drops the idle instances of the
            // previous version.
            if self.versions.has_changed().unwrap_or_default() {
                pools = self.pools(&shutdown, &chaining);
            }
            if leased.is_ok()
                && let Some(told) = self.outage.is_over()
            {
                tracing::info!(target: "epilogue::worker", "{told}");
            }
            match leased {
                Ok(Some(lease)) => {
                    let batch = lease.batch.clone();
                    let held = Held::new(self.task_store.clone(), lease, asked, self.failures.clone());
                    if shutdown.has_begun() {
                        _ = held.release().await;
                        continue;
                    }
                    let (pools, observer) = (pools.clone(), observer.clone());
                    let running = observer.batch();
                    alive.spawn_local(async move {
                        lease::run(held, batch, &pools, observer).await;
                        drop(running);
                        drop(permit);
                    });
                }
                Ok(None) => {}
                Err(error) => {
                    if let Some(told) = self.outage.goes_on(&error) {
                        tracing::warn!(target: "epilogue::worker", "{told}");
                    }
                    tokio::select! {
                        () = tokio::time::sleep(PAUSE) => {}
                        _ = shutdown.begun() => {}
                    }
                }
            }
        }
        alive.close();
        alive.wait().await;
        ended.await;
    }

    async fn lease(&self) -> engines::Result<Option<Lease>> {
        let name = self.name.clone();
        self.task_store.call(|task_engine| async move { task_engine.lease(&name, WAIT).await }).await
    }
}

/// Returns a unique name for this process. The name begins with the value of `--worker-id`. By default, the name begins
/// with the machine's name.
fn name(given: Option<&str>) -> String {
    let machine = || fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|name| name.trim().to_owned());
    let place = given.map(str::to_owned).or_else(machine).unwrap_or_else(|| "worker".to_owned());
    let id = Uuid::now_v7().simple().to_string();
    format!("{place}-{}-{}", std::process::id(), id.get(24..).unwrap_or(&id))
}
