//! Where durable tasks are kept until they have run.
//!
//! An [`TaskEngine`] stores batches. A [`Batch`] is the ordered list of one request's tasks, and a worker leases all of it: so the
//! order within a request holds on every engine, and none is promised between requests. The queue itself is always
//! somebody else's: SQLite, Redis Streams, or NATS JetStream; [`Memory`] is for tests, and says in few lines what the
//! others must do.
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
//! A lease ends after [`Options::visibility`] unless it is extended, so whoever holds one calls [`TaskEngine::extend`] every
//! third of that. After each task it calls [`TaskEngine::checkpoint`], so that a batch whose worker was killed is resumed where
//! it stood, and only the task that was running runs again. A call that comes after the batch was leased to somebody
//! else changes nothing and says [`Error::LostLease`]: stop what is running, its new owner runs it.
//!
//! # Attempts
//!
//! [`Lease::attempt`] is the attempt of the task [`Lease::next`]. It counts when the task is *delivered*: by a lease, or by the
//! checkpoint that makes it the next one. So a task that kills its worker runs out of attempts too; [`Lease::exhausted`]
//! tells, and the worker buries the batch instead of running it. `release` takes the delivery back: the task was not run.
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
mod error;
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
pub use lease::{BatchState, Counts, Entry, Lease};
pub use memory::Memory;
pub use nats::Nats;
pub use redis::Redis;
pub use sqlite::Sqlite;

/// What [`TaskEngine::visit`] calls with each batch.
pub type Visitor<'a> = &'a mut (dyn FnMut(Entry) + Send);

/// How many batches an engine reads with one request.
const PAGE: usize = 500;

/// Stores batches, and leases each to one worker at a time.
///
/// Each call returns once the engine has confirmed it, or with [`Error::Unavailable`] after [`Options::timeout`] at the
/// latest. After that error the engine may have made the change all the same, because the answer may have been lost.
#[async_trait]
pub trait TaskEngine: fmt::Debug + Send + Sync {
    /// Stores a batch. When this returns it is as durable as the engine is. A batch with the id of a stored one is not
    /// stored again, so this may be repeated after an error.
    async fn enqueue(&self, batch: &Batch) -> Result<()>;

    /// Stores a batch in the dead letter, because of `why`. It is for a single task that has failed while the others go
    /// on: [`Batch::only`] makes its batch.
    async fn enqueue_dead(&self, batch: &Batch, why: &str) -> Result<()>;

    /// Leases the batch that waits longest, and waits up to `wait` for one. `worker` is a name that no other process uses.
    ///
    /// It never returns a batch whose [`Lease`] this process still has under the same name. If that lease has ended, as
    /// after a pause of the process, it is extended instead.
    ///
    /// Poll the future to its end. If it is dropped, it may have leased a batch that nobody knows of until the lease
    /// ends. A batch that cannot be read, because its envelope is damaged or newer than this program, is buried and
    /// passed over.
    async fn lease(&self, worker: &str, wait: Duration) -> Result<Option<Lease>>;

    /// Extends a lease: it lasts for [`Options::visibility`] from now. Call it every third of that.
    async fn extend(&self, lease: &Lease) -> Result<()>;

    /// Records that the tasks before `next` have ended and that `next` is about to start, with its first attempt. Also
    /// extends the lease.
    async fn checkpoint(&self, lease: &mut Lease, next: u32) -> Result<()>;

    /// Removes a batch whose tasks have all ended.
    async fn ack(&self, lease: &Lease) -> Result<()>;

    /// Gives a batch back, to be leased again after `after`: the task [`Lease::next`] failed, and may be tried again.
    async fn retry(&self, lease: &Lease, after: Duration) -> Result<()>;

    /// Gives a batch back at once, and takes back the attempt: the task [`Lease::next`] was not started.
    async fn release(&self, lease: &Lease) -> Result<()>;

    /// Moves a batch to the dead letter, where it stays until an operator retries or removes it.
    async fn bury(&self, lease: &Lease, why: &str) -> Result<()>;

    /// Calls `each` with up to `limit` stored batches, oldest first, of one state or of all.
    ///
    /// It reads them in pages, so that a long list does not fill the memory. A batch that changes its state meanwhile may come
    /// twice, or not at all.
    async fn visit(&self, state: Option<BatchState>, limit: usize, each: Visitor<'_>) -> Result<()>;

    /// Up to `limit` stored batches, oldest first, of one state or of all: what [`TaskEngine::visit`] visits, in memory.
    async fn list(&self, state: Option<BatchState>, limit: usize) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        self.visit(state, limit, &mut |entry| entries.push(entry)).await?;
        Ok(entries)
    }

    /// The stored batch of this id. None if there is none.
    async fn show(&self, id: &str) -> Result<Option<Entry>>;

    /// Makes a dead batch ready again, at the task where it died and with all its attempts.
    ///
    /// Returns the dead batch as it was, or none if no dead batch has this id.
    async fn retry_dead(&self, id: &str) -> Result<Option<Entry>>;

    /// Removes a batch, whatever its state. If a worker holds it, the worker's lease is lost.
    ///
    /// Returns what was removed, or none if no batch has this id. [`Entry::next`] is exact: each checkpoint came before the
    /// removal and is counted, or comes after it and fails with [`Error::LostLease`]. The other fields may be a moment old.
    async fn remove(&self, id: &str) -> Result<Option<Entry>>;

    /// How many batches are stored, by state.
    async fn counts(&self) -> Result<Counts>;

    /// How many batches wait or run: all but the dead. It is cheaper than [`TaskEngine::counts`], and as accurate.
    async fn backlog(&self) -> Result<u64> {
        let counts = self.counts().await?;
        Ok(counts.ready + counts.delayed + counts.leased)
    }

    /// The server's settings that are known to lose what it has accepted: a sentence for each, with what to do. Empty
    /// by default, and for a server that does not tell its settings.
    async fn risks(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}
