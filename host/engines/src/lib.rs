//! Task engines, which store durable tasks until the tasks have run.
//!
//! A [`TaskEngine`] stores batches. A [`Batch`] is the ordered list of the durable tasks of one request. A worker
//! leases a whole batch and runs the batch's tasks one after the other. So the tasks of one request run in order on
//! every engine. Tasks of different requests may run in any order.
//!
//! The engines store batches in SQLite, Redis Streams or NATS JetStream. The engine [`Memory`] is for tests. The code
//! of [`Memory`] is short and shows what each engine must do.
//!
//! # The life of a batch
//!
//! ```text
//! enqueue ──▶ ready ──lease──▶ leased ──ack──▶ gone
//!               ▲                │ ├──retry──▶ delayed ──▶ ready
//!               │                │ ├──release─▶ ready
//!               │                │ └──bury────▶ dead ──retry_dead──▶ ready
//!               └──not extended──┘
//! ```
//!
//! A lease ends after the time [`Options::visibility`], unless the worker extends the lease. So the worker calls
//! [`TaskEngine::extend`] at intervals of one third of [`Options::visibility`]. After each task, the worker calls
//! [`TaskEngine::checkpoint`], which records that the task has ended. If a worker is killed, another worker continues
//! after the last task whose end is recorded. So only the task that the killed worker was running runs again.
//!
//! If the lease of worker A has ended and worker B has leased the batch, a call with A's lease changes nothing and
//! returns [`Error::LostLease`]. Worker A must then stop its running task, because worker B runs the same task.
//!
//! # Attempts
//!
//! [`Lease::attempt`] is the number of the current attempt of the task at [`Lease::next`]. The engine counts an attempt
//! before the task starts. When a worker leases a batch, the engine counts an attempt of the first task that has not
//! ended. When the worker calls [`TaskEngine::checkpoint`] after a task, the engine counts the first attempt of the
//! next task. So an attempt counts even if the task crashes the worker. If the task has no attempts left,
//! [`Lease::exhausted`] returns true. The worker must not run a task that has no attempts left. Instead, the worker
//! moves the batch to the dead letter with [`TaskEngine::bury`]. If the worker calls [`TaskEngine::release`] before the
//! task starts, the attempt does not count.
//!
//! ```
//! # async fn work() -> epilogue_engines::Result<()> {
//! use std::time::Duration;
//! let engine = epilogue_engines::connect("memory:", Default::default())?;
//! while let Some(mut lease) = engine.lease("worker-1", Duration::from_secs(1)).await? {
//!     if lease.exhausted() {
//!         engine.bury(&lease, "no attempts are left").await?;
//!         continue;
//!     }
//!     while let Some(task) = lease.task() {
//!         println!("{} {}", lease.batch.idempotency_key(task), task.name);
//!         let next = lease.next + 1;
//!         engine.checkpoint(&mut lease, next).await?;
//!     }
//!     engine.ack(&lease).await?;
//! }
//! # Ok(())
//! # }
//! ```

mod batch;
mod connect;
pub mod database;
mod error;
mod io_thread;
mod lease;
mod memory;
mod nats;
mod redis;
mod sqlite;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

pub use batch::{Backoff, Batch, MAX_BYTES, OnFailure, Outcome, Task, VERSION};
pub use connect::{Options, address, connect};
pub use error::{Error, Result};
pub use io_thread::IoThread;
pub use lease::{BatchState, Counts, Entry, Lease};
pub use memory::Memory;
pub use nats::Nats;
pub use redis::Redis;
pub use sqlite::Sqlite;

/// A callback that [`TaskEngine::visit`] calls with each batch.
pub type Visitor<'a> = &'a mut (dyn FnMut(Entry) + Send);

/// The largest number of batches that an engine reads in one step when it lists stored batches.
const PAGE: usize = 500;

/// A task engine, which stores batches and leases each batch to one worker at a time.
///
/// A call that changes something returns after the engine has confirmed the change. If the engine does not answer
/// within [`Options::timeout`], the call returns [`Error::Unavailable`]. A call that returns [`Error::Unavailable`] may
/// still have made its change, because perhaps only the engine's answer was lost.
#[async_trait]
pub trait TaskEngine: fmt::Debug + Send + Sync {
    /// Stores a batch. If the call returns `Ok`, the engine has stored the batch. The settings of the server, or the
    /// option `synchronous` in the URL of an SQLite file, decide whether a stored batch survives a power cut. If the
    /// call returns an error, the caller can repeat the call, because the engine ignores a batch whose id is already
    /// stored.
    async fn enqueue(&self, batch: &Batch) -> Result<()>;

    /// Stores a batch in the dead letter, with the reason `why`. Use this call if one task of a batch has failed for
    /// good, but the worker continues with the other tasks of the batch. [`Batch::only`] creates a batch with only the
    /// failed task.
    async fn enqueue_dead(&self, batch: &Batch, why: &str) -> Result<()>;

    /// Leases a batch that is ready. In most cases, a batch whose lease or delay has ended comes first, and then the
    /// batch that has waited longest. `worker` is the name of the worker that gets the lease. Another process must not
    /// use the same name. If no batch is ready, the call waits for a batch. If no batch becomes ready within the time
    /// `wait`, the call returns `None`.
    ///
    /// If this process still has the [`Lease`] value of an earlier call with the same worker name, the call does not
    /// lease that batch again. If the earlier lease has run out, for example because the process was paused, the call
    /// extends the earlier lease.
    ///
    /// Poll the returned future until it is ready. If you drop the future earlier, the engine may have leased a batch
    /// that no worker runs. A batch that was leased in this way is ready again when its lease ends.
    ///
    /// If the stored JSON of a batch (the batch's envelope) is damaged or has an unknown version, the call moves the
    /// batch to the dead letter and leases the next batch.
    async fn lease(&self, worker: &str, wait: Duration) -> Result<Option<Lease>>;

    /// Extends a lease, so that the lease lasts for the time [`Options::visibility`] from now. Call this function at
    /// intervals of one third of [`Options::visibility`].
    async fn extend(&self, lease: &Lease) -> Result<()>;

    /// Records that all tasks before the index `next` have ended, and that the first attempt of the task at `next` is
    /// about to start. Also extends the lease.
    async fn checkpoint(&self, lease: &mut Lease, next: u32) -> Result<()>;

    /// Removes a batch whose tasks have all ended.
    async fn ack(&self, lease: &Lease) -> Result<()>;

    /// Gives a batch back to the engine after the task at [`Lease::next`] has failed. When the time `after` has passed,
    /// a worker can lease the batch again.
    async fn retry(&self, lease: &Lease, after: Duration) -> Result<()>;

    /// Gives a batch back to the engine before the task at [`Lease::next`] has started. Any worker can lease the batch
    /// immediately, and the attempt does not count.
    async fn release(&self, lease: &Lease) -> Result<()>;

    /// Moves a batch to the dead letter, with the reason `why`. The batch stays in the dead letter until an operator
    /// retries or removes the batch.
    async fn bury(&self, lease: &Lease, why: &str) -> Result<()>;

    /// Calls `each` with up to `limit` stored batches, the oldest batch first. If `state` is set, the call visits only
    /// batches in this state.
    ///
    /// The call reads the batches in pages, so that a long list does not fill the memory. If a batch changes its state
    /// during the call, `each` may get the batch twice, or not at all.
    async fn visit(&self, state: Option<BatchState>, limit: usize, each: Visitor<'_>) -> Result<()>;

    /// Returns up to `limit` stored batches, the oldest batch first. If `state` is set, the list has only batches in
    /// this state. For long lists, use [`TaskEngine::visit`].
    async fn list(&self, state: Option<BatchState>, limit: usize) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        self.visit(state, limit, &mut |entry| entries.push(entry)).await?;
        Ok(entries)
    }

    /// Returns the stored batch with this id, or `None` if there is no such batch.
    async fn show(&self, id: &str) -> Result<Option<Entry>>;

    /// Makes a dead batch ready again. The worker that leases the batch starts with the task that failed for good. This
    /// task gets its full number of attempts again.
    ///
    /// Returns the dead batch as it was before the call. If no dead batch has this id, returns `None`.
    async fn retry_dead(&self, id: &str) -> Result<Option<Entry>>;

    /// Removes a batch in any state. If a worker holds the batch, the worker loses its lease.
    ///
    /// Returns the removed batch, or `None` if no batch has this id. The [`Entry::next`] of the removed batch is exact,
    /// because it includes each checkpoint that a worker made before the removal. If a worker makes a checkpoint after
    /// the removal, the checkpoint fails with [`Error::LostLease`]. All fields of the entry except [`Entry::next`] may
    /// show an earlier state of the batch.
    async fn remove(&self, id: &str) -> Result<Option<Entry>>;

    /// Returns the number of stored batches in each state.
    async fn counts(&self) -> Result<Counts>;

    /// Returns the number of stored batches that are not dead. On most engines, this call is faster than
    /// [`TaskEngine::counts`], and equally accurate.
    async fn backlog(&self) -> Result<u64> {
        let counts = self.counts().await?;
        Ok(counts.ready + counts.delayed + counts.leased)
    }

    /// Returns one sentence of advice for each setting of the server that could make the server lose stored batches.
    ///
    /// If the engine does not check settings, or if the server does not show its settings, the list is empty.
    async fn risks(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}
