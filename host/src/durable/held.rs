//! A lease that this process holds, and what it may ask of the engine for it.

use std::sync::Arc;
use std::time::Duration;

use epilogue_engines::{self as engines, Batch, Error, Lease};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::TaskStore;

/// The wait before the engine is asked again for what it could not do.
pub(super) const PAUSE: Duration = Duration::from_millis(500);

pub(super) struct Held {
    store: TaskStore,
    lease: Arc<Mutex<Lease>>,
}

/// What is next in a batch.
pub(super) struct Next {
    pub(super) index: u32,
    pub(super) task: engines::Task,
    pub(super) attempt: u32,
    pub(super) exhausted: bool,
}

/// What the engine is asked for.
#[derive(Clone)]
enum Call {
    Extend,
    Checkpoint(u32),
    Ack,
    Retry(Duration),
    Release,
    Bury(String),
    EnqueueDead(Batch, String),
}

impl Held {
    pub(super) fn new(store: TaskStore, lease: Lease) -> Self {
        Self { store, lease: Arc::new(Mutex::new(lease)) }
    }

    /// Extends the lease for as long as that goes. Returns when it is lost.
    pub(super) async fn keep(&self) -> Error {
        let mut extended = Instant::now();
        loop {
            sleep(self.store.visibility / 3).await;
            match self.call(Call::Extend).await {
                Ok(()) => extended = Instant::now(),
                Err(error @ Error::Unavailable(_)) if extended.elapsed() < self.store.visibility => {
                    tracing::warn!(target: "epilogue::worker", "a lease is not extended: {error}");
                }
                Err(error) => return error,
            }
        }
    }

    /// The next task, unless all have ended.
    pub(super) async fn next(&self) -> Option<Next> {
        let lease = self.lease.lock().await;
        let (index, attempt, exhausted) = (lease.next, lease.attempt, lease.exhausted());
        lease.task().map(|task| Next { index, task: task.clone(), attempt, exhausted })
    }

    /// The tasks before `next` have ended.
    pub(super) async fn checkpoint(&self, next: u32) -> engines::Result<()> {
        self.insist(Call::Checkpoint(next)).await
    }

    /// All tasks have ended.
    pub(super) async fn ack(&self) -> engines::Result<()> {
        self.insist(Call::Ack).await
    }

    /// The next task has failed, and may be tried again.
    pub(super) async fn retry(&self, after: Duration) -> engines::Result<()> {
        self.insist(Call::Retry(after)).await
    }

    /// The next task has not been started.
    pub(super) async fn release(&self) -> engines::Result<()> {
        self.insist(Call::Release).await
    }

    /// The next task has failed for good, and those behind it wait for an operator with it.
    pub(super) async fn bury(&self, why: &str) -> engines::Result<()> {
        self.insist(Call::Bury(why.to_owned())).await
    }

    /// A task has failed for good, and those behind it go on.
    pub(super) async fn bury_apart(&self, task: Batch, why: &str) -> engines::Result<()> {
        self.insist(Call::EnqueueDead(task, why.to_owned())).await
    }

    /// Asks until the engine has done it. That ends at the latest with the lease.
    async fn insist(&self, call: Call) -> engines::Result<()> {
        loop {
            match self.call(call.clone()).await {
                Err(error @ Error::Unavailable(_)) => {
                    tracing::warn!(target: "epilogue::worker", "{error}");
                    sleep(PAUSE).await;
                }
                done => return done,
            }
        }
    }

    async fn call(&self, call: Call) -> engines::Result<()> {
        let lease = self.lease.clone();
        let made = self.store.call(|engine| async move {
            let lease = &mut *lease.lock().await;
            match call {
                Call::Extend => engine.extend(lease).await,
                Call::Checkpoint(next) => engine.checkpoint(lease, next).await,
                Call::Ack => engine.ack(lease).await,
                Call::Retry(after) => engine.retry(lease, after).await,
                Call::Release => engine.release(lease).await,
                Call::Bury(why) => engine.bury(lease, &why).await,
                Call::EnqueueDead(task, why) => engine.enqueue_dead(&task, &why).await,
            }
        });
        made.await
    }
}
