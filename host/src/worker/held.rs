//! Holds the lease of a batch that this process runs, and tells the task engine what happens to the batch.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use epilogue_engines::{self as engines, Batch, Error, Lease};
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::moment::Moment;
use crate::tasks::store::TaskStore;
use crate::telemetry::once_a_minute::OnceAMinute;

/// The pause after a failed call to the task engine, before the worker repeats the call.
pub(super) const PAUSE: Duration = Duration::from_millis(500);

/// The longest time that the worker sleeps before it checks whether to extend a lease. The time is short, so that after
/// a suspension of the machine the worker soon extends its leases.
const STEP: Duration = Duration::from_secs(1);

/// Limits the log lines about leases while the task engine is unavailable. The worker logs each kind of line at most
/// once a minute.
#[derive(Debug, Default)]
pub(super) struct Failures {
    calls: OnceAMinute,
    extensions: OnceAMinute,
}

pub(super) struct Held {
    task_store: TaskStore,
    lease: Arc<Mutex<Lease>>,
    /// The time at which the worker sent the call that last got or extended the lease. Calls that failed do not count.
    confirmed: Cell<Moment>,
    /// Limits the log lines about failed calls to the task engine. All leases of the process share this value.
    failures: Arc<Failures>,
}

/// What has happened to a batch whose lease this worker has lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whereabouts {
    /// The batch was removed while this worker still held the lease, so an operator has dropped the batch.
    Dropped,
    /// The batch no longer exists. Either another worker has ended the batch after the lease ran out, or an operator
    /// has dropped the batch.
    Gone,
    /// The batch is still stored, or the task engine does not answer. Another worker may have leased the batch.
    Elsewhere,
}

impl fmt::Display for Whereabouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dropped => "dropped by an operator",
            Self::Gone => "ended by another worker, or dropped by an operator",
            Self::Elsewhere => "left to another worker",
        })
    }
}

/// The next task of a batch: the task, its position in the batch, and the number of its next attempt.
pub(super) struct Next {
    pub(super) index: u32,
    pub(super) task: engines::Task,
    pub(super) attempt: u32,
    pub(super) exhausted: bool,
}

/// A call to the task engine about a leased batch.
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
    /// Makes the value that holds `lease`. `asked` is the time at which the worker asked the task engine for a lease.
    pub(super) fn new(task_store: TaskStore, lease: Lease, asked: Moment, failures: Arc<Failures>) -> Self {
        Self { task_store, lease: Arc::new(Mutex::new(lease)), confirmed: asked.into(), failures }
    }

    /// Extends the lease at regular intervals until the lease is lost. Returns the error of the last attempt to extend
    /// the lease.
    pub(super) async fn keep(&self) -> Error {
        let mut asked = self.confirmed.get();
        loop {
            let wait = (self.task_store.visibility / 3).saturating_sub(asked.elapsed());
            if !wait.is_zero() {
                sleep(wait.min(STEP)).await;
                continue;
            }
            asked = Moment::now();
            match self.call(Call::Extend).await {
                Ok(()) => {}
                Err(error) if is_passing(&error) && self.confirmed.get().elapsed() < self.task_store.visibility => {
                    if let Some(times) = self.failures.extensions.due() {
                        tracing::warn!(target: "epilogue::worker", times, "a lease is not extended: {error}");
                    }
                }
                Err(error) => return error,
            }
        }
    }

    /// Makes sure that this worker still holds the lease. If more than half of the lease's duration has passed since
    /// the last extension, for example because the process was paused, extends the lease. The worker calls this
    /// function before each task, so that the worker does not start a task that another worker may already run.
    pub(super) async fn confirm(&self) -> engines::Result<()> {
        match self.confirmed.get().elapsed() < self.task_store.visibility / 2 {
            true => Ok(()),
            false => self.insist(Call::Extend).await,
        }
    }

    /// Asks the task engine what has happened to the batch, after this worker has lost the lease.
    pub(super) async fn whereabouts(&self, id: &str) -> Whereabouts {
        let in_time = self.confirmed.get().elapsed() < self.task_store.visibility;
        let id = id.to_owned();
        match self.task_store.call(|task_engine| async move { task_engine.show(&id).await }).await {
            Ok(None) if in_time => Whereabouts::Dropped,
            Ok(None) => Whereabouts::Gone,
            _ => Whereabouts::Elsewhere,
        }
    }

    /// Removes another batch, which is not the leased batch, from the task engine. `id` is the id of the other batch.
    pub(super) async fn remove(&self, id: String) -> engines::Result<()> {
        self.task_store.call(|task_engine| async move { task_engine.remove(&id).await }).await.map(drop)
    }

    /// Returns the next task of the batch, or `None` if all tasks of the batch have ended.
    pub(super) async fn next(&self) -> Option<Next> {
        let lease = self.lease.lock().await;
        let (index, attempt, exhausted) = (lease.next, lease.attempt, lease.exhausted());
        lease.task().map(|task| Next { index, task: task.clone(), attempt, exhausted })
    }

    /// Tells the task engine that the tasks before the position `next` have ended.
    pub(super) async fn checkpoint(&self, next: u32) -> engines::Result<()> {
        self.insist(Call::Checkpoint(next)).await
    }

    /// Tells the task engine that all tasks of the batch have ended.
    pub(super) async fn ack(&self) -> engines::Result<()> {
        self.insist(Call::Ack).await
    }

    /// Gives the batch back to the task engine, because the batch's next task has failed. After the time `after`, a
    /// worker may lease the batch and retry the task.
    pub(super) async fn retry(&self, after: Duration) -> engines::Result<()> {
        self.insist(Call::Retry(after)).await
    }

    /// Gives the batch back to the task engine before the batch's next task has started. Any worker may lease the batch
    /// immediately.
    pub(super) async fn release(&self) -> engines::Result<()> {
        self.insist(Call::Release).await
    }

    /// Moves the batch to the dead letter, because the batch's next task has failed for good. The failed task and the
    /// tasks behind it wait for an operator.
    pub(super) async fn bury(&self, why: &str) -> engines::Result<()> {
        self.insist(Call::Bury(why.to_owned())).await
    }

    /// Stores a task that has failed for good in the dead letter, as a separate batch. The worker goes on with the
    /// tasks behind the failed task.
    pub(super) async fn bury_apart(&self, task: Batch, why: &str) -> engines::Result<()> {
        self.insist(Call::EnqueueDead(task, why.to_owned())).await
    }

    /// Repeats a call until the task engine has confirmed or refused the call.
    async fn insist(&self, call: Call) -> engines::Result<()> {
        loop {
            match self.call(call.clone()).await {
                Err(error) if is_passing(&error) => {
                    if let Some(times) = self.failures.calls.due() {
                        tracing::warn!(target: "epilogue::worker", times, "{error}");
                    }
                    sleep(PAUSE).await;
                }
                done => return done,
            }
        }
    }

    async fn call(&self, call: Call) -> engines::Result<()> {
        let lease = self.lease.clone();
        let extends = matches!(call, Call::Extend | Call::Checkpoint(_));
        let asked = Moment::now();
        let made = self.task_store.call(|task_engine| async move {
            let lease = &mut *lease.lock().await;
            match call {
                Call::Extend => task_engine.extend(lease).await,
                Call::Checkpoint(next) => task_engine.checkpoint(lease, next).await,
                Call::Ack => task_engine.ack(lease).await,
                Call::Retry(after) => task_engine.retry(lease, after).await,
                Call::Release => task_engine.release(lease).await,
                Call::Bury(why) => task_engine.bury(lease, &why).await,
                Call::EnqueueDead(task, why) => task_engine.enqueue_dead(&task, &why).await,
            }
        });
        let made = made.await;
        if extends && made.is_ok() {
            self.confirmed.set(asked);
        }
        made
    }
}

/// Reports whether the worker repeats a call after this error. The worker repeats a call if the task engine is not
/// available. The worker also repeats a call after a configuration error, because an operator may correct the
/// configuration, for example the password.
fn is_passing(error: &Error) -> bool {
    matches!(error, Error::Unavailable(_) | Error::Config(_))
}
