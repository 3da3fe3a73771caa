//! Task engines, which store durable tasks until the tasks have run.
//!
//! A [`TaskEngine`] stores batches. A [`Batch`] is the ordered list of one request's tasks. A worker leases a whole
//! batch, so the tasks of a request run in order on every engine. Tasks of different requests have no fixed order.
//!
//! The engines store batches in SQLite, Redis Streams or NATS JetStream. The engine [`Memory`] is for tests. The short
//! code of [`Memory`] shows what each engine must do.
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
//! A lease ends after [`Options::visibility`], unless the worker extends the lease. So the worker calls
//! [`TaskEngine::extend`] three times within [`Options::visibility`]. After each task, the worker calls
//! [`TaskEngine::checkpoint`]. If a worker is killed, another worker continues at the checkpoint. So only the
//! interrupted task runs again.
//!
//! If another worker has leased the batch, a call with the old lease changes nothing and returns [`Error::LostLease`].
//! After this error, stop the running task, because the other worker runs it.
//!
//! # Attempts
//!
//! [`Lease::attempt`] is the number of the current attempt of the task at [`Lease::next`]. An attempt counts when the
//! engine *delivers* the task. A lease delivers the next task of the batch, and a checkpoint delivers the task that
//! follows. So a task that kills its workers uses up its attempts, too. When no attempts are left, [`Lease::exhausted`]
//! returns true. The worker then buries the batch and does not run the task. After `release`, the attempt does not
//! count, because the task did not run.
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

/// The number of batches that an engine reads in one step.
const PAGE: usize = 500;

/// A task engine, which stores batches and leases each batch to one worker at a time.
///
/// Each call returns after the engine has confirmed the change. If the engine does not answer within
/// [`Options::timeout`], the call returns [`Error::Unavailable`]. In this case, the engine may have made the change,
/// because the answer may have been lost.
#[async_trait]
pub trait TaskEngine: fmt::Debug + Send + Sync {
    /// Stores a batch. When the call returns, the engine has stored the batch. The configuration of the engine decides
    /// how durable a stored batch is. After an error, the caller can repeat the call, because the engine stores a batch
    /// with the same id only once.
    async fn enqueue(&self, batch: &Batch) -> Result<()>;

    /// Stores a batch in the dead letter, with the reason `why`. Use this call for a single task that has failed for
    /// good while the other tasks of its batch continue. [`Batch::only`] creates the batch for such a task.
    async fn enqueue_dead(&self, batch: &Batch, why: &str) -> Result<()>;

    /// Leases the batch that has waited longest. If no batch is ready, waits up to `wait` for a batch. `worker` is a
    /// name that no other process uses.
    ///
    /// If this process still has a [`Lease`] of a batch under the same name, the call never returns this batch. If the
    /// time of such a lease is over, for example after a pause of the process, the call extends the lease.
    ///
    /// Poll the future to its end. If you drop the future before its end, a batch may be leased while no worker runs
    /// it. After the end of the lease, the batch is ready again.
    ///
    /// If a batch's envelope is damaged, or newer than this program, the call buries the batch and leases the next
    /// batch.
    async fn lease(&self, worker: &str, wait: Duration) -> Result<Option<Lease>>;

    /// Extends a lease, so that the lease ends after [`Options::visibility`] from now. Call this function three times
    /// within [`Options::visibility`].
    async fn extend(&self, lease: &Lease) -> Result<()>;

    /// Records that the tasks before `next` have ended, and that the first attempt of the task at `next` is about to
    /// start. The checkpoint also extends the lease.
    async fn checkpoint(&self, lease: &mut Lease, next: u32) -> Result<()>;

    /// Removes a batch whose tasks have all ended.
    async fn ack(&self, lease: &Lease) -> Result<()>;

    /// Gives a batch back to the engine after the task at [`Lease::next`] has failed. After the time `after`, a worker
    /// can lease the batch again.
    async fn retry(&self, lease: &Lease, after: Duration) -> Result<()>;

    /// Gives a batch back to the engine before the task at [`Lease::next`] has started. A worker can lease the batch at
    /// once, and the attempt does not count.
    async fn release(&self, lease: &Lease) -> Result<()>;

    /// Moves a batch to the dead letter. The batch stays there until an operator retries or removes the batch.
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

    /// Makes a dead batch ready again. The batch continues with the task that failed for good. This task gets its full
    /// number of attempts again.
    ///
    /// Returns the dead batch as it was before the call. If no dead batch has this id, returns `None`.
    async fn retry_dead(&self, id: &str) -> Result<Option<Entry>>;

    /// Removes a batch in any state. If a worker holds the batch, the worker loses its lease.
    ///
    /// Returns the removed batch, or `None` if no batch has this id. [`Entry::next`] is exact: the value includes each
    /// checkpoint before the removal. A checkpoint after the removal fails with [`Error::LostLease`]. The other fields
    /// of the entry may show an earlier state of the batch.
    async fn remove(&self, id: &str) -> Result<Option<Entry>>;

    /// Returns the number of stored batches in each state.
    async fn counts(&self) -> Result<Counts>;

    /// Returns the number of stored batches that are not dead. This call is cheaper than [`TaskEngine::counts`], and
    /// the number is as accurate.
    async fn backlog(&self) -> Result<u64> {
        let counts = self.counts().await?;
        Ok(counts.ready + counts.delayed + counts.leased)
    }

    /// Returns advice about settings of the server with which accepted batches could get lost. The advice is one
    /// sentence for each such setting.
    ///
    /// The default implementation returns an empty list. If the server does not show its settings, the list is empty,
    /// too.
    async fn risks(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}
