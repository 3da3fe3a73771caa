//! Task engines: they keep durable tasks until the tasks have run.
//!
//! A [`TaskEngine`] stores batches. A [`Batch`] is the ordered list of one request's tasks. A worker leases the whole batch,
//! so the order within a request holds on every engine. There is no order between requests.
//!
//! The engines store batches in SQLite, Redis Streams or NATS JetStream. [`Memory`] is for tests. Its short code shows what
//! the other engines must do.
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
//! A lease ends after [`Options::visibility`], unless the worker extends it. So the worker calls [`TaskEngine::extend`]
//! three times within that time. After each task, the worker calls [`TaskEngine::checkpoint`]. If the worker is killed,
//! another worker continues at the checkpoint. Then only the interrupted task runs again.
//!
//! If another worker has leased the batch, a call with the old lease changes nothing and returns [`Error::LostLease`].
//! In this case, stop the running task, because the other worker runs it.
//!
//! # Attempts
//!
//! [`Lease::attempt`] is the number of the attempt of the task [`Lease::next`]. An attempt counts when the task is
//! *delivered*: by a lease, or by the checkpoint that makes it the next task. So a task that kills its workers also
//! uses up its attempts. Then [`Lease::exhausted`] returns true. The worker does not run the task, and buries the
//! batch. `release` takes the attempt back, because the task did not run.
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

/// The callback to which [`TaskEngine::visit`] passes each batch.
pub type Visitor<'a> = &'a mut (dyn FnMut(Entry) + Send);

/// How many batches an engine reads with one request.
const PAGE: usize = 500;

/// Stores batches, and leases each to one worker at a time.
///
/// Each call returns when the engine has confirmed the change. If the engine does not answer within
/// [`Options::timeout`], the call returns [`Error::Unavailable`]. The engine may still have made the change, because
/// the answer may have been lost.
#[async_trait]
pub trait TaskEngine: fmt::Debug + Send + Sync {
    /// Stores a batch. When the call returns, the batch is as durable as the engine. You can repeat the call after an
    /// error, because the engine stores a batch with the same id only once.
    async fn enqueue(&self, batch: &Batch) -> Result<()>;

    /// Stores a batch in the dead letter, with the reason `why`. Use this call for a single task that failed while the
    /// other tasks of its batch continue. [`Batch::only`] creates the batch of such a task.
    async fn enqueue_dead(&self, batch: &Batch, why: &str) -> Result<()>;

    /// Leases the batch that has waited longest. If none is ready, waits up to `wait` for one. `worker` is a name that no
    /// other process uses.
    ///
    /// The call never returns a batch of which this process still has a [`Lease`] under the same name. If the time of
    /// such a lease is over, for example after a pause of the process, the call extends the lease.
    ///
    /// Poll the future to its end. If you drop the future earlier, a batch may stay leased until its lease ends,
    /// although no worker runs it.
    ///
    /// If a batch's envelope is damaged, or newer than this program, the call buries the batch and takes the next one.
    async fn lease(&self, worker: &str, wait: Duration) -> Result<Option<Lease>>;

    /// Extends a lease, so that it ends after [`Options::visibility`] from now. Call this three times within that time.
    async fn extend(&self, lease: &Lease) -> Result<()>;

    /// Records that the tasks before `next` have ended, and that the first attempt of `next` is about to start. Also extends
    /// the lease.
    async fn checkpoint(&self, lease: &mut Lease, next: u32) -> Result<()>;

    /// Removes a batch whose tasks have all ended.
    async fn ack(&self, lease: &Lease) -> Result<()>;

    /// Gives a batch back after the task [`Lease::next`] failed. The batch can be leased again after the time `after`.
    async fn retry(&self, lease: &Lease, after: Duration) -> Result<()>;

    /// Gives a batch back before its next task, which [`Lease::next`] names, has started. The batch can be leased at once, and the attempt
    /// does not count.
    async fn release(&self, lease: &Lease) -> Result<()>;

    /// Moves a batch to the dead letter, where it stays until an operator retries or removes it.
    async fn bury(&self, lease: &Lease, why: &str) -> Result<()>;

    /// Calls `each` with up to `limit` stored batches, the oldest first. With a `state`, only batches in this state
    /// count.
    ///
    /// The call reads the batches in pages, so that a long list does not fill the memory. If a batch changes its state
    /// during the call, `each` may get this batch twice, or not at all.
    async fn visit(&self, state: Option<BatchState>, limit: usize, each: Visitor<'_>) -> Result<()>;

    /// Returns up to `limit` stored batches, the oldest first. With a `state`, only batches in this state count. For
    /// long lists use [`TaskEngine::visit`].
    async fn list(&self, state: Option<BatchState>, limit: usize) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        self.visit(state, limit, &mut |entry| entries.push(entry)).await?;
        Ok(entries)
    }

    /// Returns the stored batch with this id, if there is one.
    async fn show(&self, id: &str) -> Result<Option<Entry>>;

    /// Makes a dead batch ready again. The batch continues with the task that failed for good. This task gets its full
    /// number of attempts again.
    ///
    /// Returns the dead batch as it was, or none if no dead batch has this id.
    async fn retry_dead(&self, id: &str) -> Result<Option<Entry>>;

    /// Removes a batch in any state. If a worker holds the batch, the worker loses its lease.
    ///
    /// Returns the removed batch, or none if no batch has this id. [`Entry::next`] is exact: it includes each
    /// checkpoint before the removal. A checkpoint after the removal fails with [`Error::LostLease`]. The other fields
    /// of the entry may show the state of a moment earlier.
    async fn remove(&self, id: &str) -> Result<Option<Entry>>;

    /// Returns the number of stored batches in each state.
    async fn counts(&self) -> Result<Counts>;

    /// Returns the number of stored batches that are not dead. This call is cheaper than [`TaskEngine::counts`]. The
    /// number is exactly as accurate.
    async fn backlog(&self) -> Result<u64> {
        let counts = self.counts().await?;
        Ok(counts.ready + counts.delayed + counts.leased)
    }

    /// Returns advice about settings of the server that could lose accepted batches: one sentence for each such
    /// setting.
    ///
    /// The default implementation returns an empty list. The list is also empty if the server does not show its
    /// settings.
    async fn risks(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}
