//! Threads that lease batches and run their tasks, each with instances of its own.

use std::fs;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use epilogue_engines::{self as engines, Lease};
use tokio::sync::Semaphore;
use tokio::task::LocalSet;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::{TaskStore, held::Held, lease};
use crate::app::App;
use crate::component::Component;
use crate::pool::Pool;
use crate::settings::HostOptions;
use crate::shutdown::Shutdown;
use crate::summary::Observer;

/// How long a thread waits for a batch before it asks again. A shutdown waits for it too.
const WAIT: Duration = Duration::from_secs(1);
/// The pause after the engine could not be asked.
const PAUSE: Duration = Duration::from_secs(1);

/// What all of a process' working threads share.
#[derive(Clone)]
pub(crate) struct Workers {
    components: Vec<Arc<Component>>,
    store: TaskStore,
    /// This process, and no other.
    name: String,
    threads: usize,
    concurrency: usize,
    observer: Observer,
}

impl Workers {
    /// Those that run the tasks of this application.
    pub(crate) fn new(app: &App, store: TaskStore, options: &HostOptions, observer: Observer) -> Self {
        let concurrency = options.concurrency.get();
        Self {
            components: app.components.clone(),
            store,
            name: name(options.worker_id.as_deref()),
            threads: options.workers.get().min(concurrency),
            concurrency,
            observer,
        }
    }

    /// What each thread does, until the shutdown begins and what it runs has ended.
    pub(crate) fn works(
        self,
        shutdown: &Shutdown,
    ) -> impl Iterator<Item = impl FnOnce() -> anyhow::Result<()> + Send + use<>> {
        tracing::info!(target: "epilogue::worker", "durable tasks are run here, by {}", self.name);
        let shutdown = shutdown.clone();
        (0..self.threads).map(move |thread| {
            let (workers, shutdown) = (self.clone(), shutdown.clone());
            move || -> anyhow::Result<()> {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                let local = LocalSet::new();
                local.block_on(&runtime, workers.run(thread, shutdown));
                drop(local);
                runtime.shutdown_background();
                Ok(())
            }
        })
    }

    async fn run(self, thread: usize, mut shutdown: Shutdown) {
        let pool = |component: &Arc<Component>| Rc::new(Pool::new(component.clone(), shutdown.clone()));
        let pools: Rc<[_]> = self.components.iter().map(pool).collect();
        let share = (self.concurrency + self.threads - 1 - thread) / self.threads;
        let room = Arc::new(Semaphore::new(share.min(Semaphore::MAX_PERMITS)));
        let alive = TaskTracker::new();
        let mut available = true;
        loop {
            let permit = tokio::select! {
                biased;
                _ = shutdown.begun() => break,
                permit = room.clone().acquire_owned() => permit,
            };
            match self.lease().await {
                Ok(Some(lease)) if shutdown.has_begun() => {
                    _ = Held::new(self.store.clone(), lease).release().await;
                }
                Ok(Some(lease)) => {
                    let (store, pools, observer) = (self.store.clone(), pools.clone(), self.observer.clone());
                    alive.spawn_local(async move {
                        lease::run(store, lease, &pools, observer).await;
                        drop(permit);
                    });
                    available = true;
                }
                Ok(None) => available = true,
                Err(error) => {
                    if available {
                        tracing::warn!(target: "epilogue::worker", "{error}");
                        available = false;
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
    }

    async fn lease(&self) -> engines::Result<Option<Lease>> {
        let name = self.name.clone();
        self.store.call(|engine| async move { engine.lease(&name, WAIT).await }).await
    }
}

/// A name that no other process has, and that people can make sense of.
fn name(given: Option<&str>) -> String {
    let machine = || fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|name| name.trim().to_owned());
    let place = given.map(str::to_owned).or_else(machine).unwrap_or_else(|| "worker".to_owned());
    let id = Uuid::now_v7().simple().to_string();
    format!("{place}-{}-{}", std::process::id(), id.get(24..).unwrap_or(&id))
}
