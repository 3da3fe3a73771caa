//! The values that an engine returns: leases for workers, and entries for operators.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use serde::Serialize;

use crate::{Batch, Result, Task};

/// A batch that one worker holds for a limited time.
#[derive(Debug)]
pub struct Lease {
    /// The batch that is leased.
    pub batch: Batch,
    /// The index of the first task that has not ended, or the number of tasks if all have ended.
    pub next: u32,
    /// The number of deliveries of the task at [`Lease::next`], including this one.
    pub attempt: u32,
    /// The data by which the engine recognizes the lease.
    pub(crate) token: Token,
}

/// The data that an engine compares before each change, to check that the lease is still valid.
#[derive(Debug)]
pub(crate) enum Token {
    /// For SQLite and the memory engine: a row, and its number of leases so far.
    Row { seq: i64, generation: i64, _held: Arc<()> },
    /// For Redis: an entry of the stream, its consumer, its next task, and its number of leases so far.
    Stream { entry: String, consumer: String, next: u32, generation: u32, _held: Arc<()> },
    /// For NATS: a message and its stored state.
    Message(Box<crate::nats::Held>),
}

/// The batches that this process holds. If its own leases have ended, for example after a pause, the process extends
/// them. It does not treat them as leases of a dead worker.
#[derive(Debug)]
pub(crate) struct Holders<K>(Arc<Mutex<HashMap<K, Weak<()>>>>);

impl<K> Clone for Holders<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K> Default for Holders<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Eq + Hash> Holders<K> {
    /// Notes that a batch is held, until the returned value is dropped.
    pub(crate) fn hold(&self, key: K) -> Arc<()> {
        let held = Arc::new(());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, held| held.strong_count() > 0);
        all.insert(key, Arc::downgrade(&held));
        held
    }

    /// Whether this process holds a batch.
    pub(crate) fn holds(&self, key: &K) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(key).is_some_and(|held| held.strong_count() > 0)
    }
}

impl Lease {
    /// Returns the task at [`Lease::next`], or none if all tasks have ended.
    pub fn task(&self) -> Option<&Task> {
        self.batch.tasks.get(self.next as usize)
    }

    /// Returns whether the task at [`Lease::next`] has no attempts left. If this returns true, bury the batch and do
    /// not run the task.
    pub fn exhausted(&self) -> bool {
        self.task().is_some_and(|task| self.attempt > task.max_attempts.max(1))
    }
}

/// The state of a stored batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchState {
    /// The batch can be leased. The batch has no lease, or its lease has ended.
    Ready,
    /// The batch will be ready later, after a failed attempt.
    Delayed,
    /// A worker holds the batch.
    Leased,
    /// The batch is in the dead letter.
    Dead,
}

impl fmt::Display for BatchState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ready => "ready",
            Self::Delayed => "delayed",
            Self::Leased => "leased",
            Self::Dead => "dead",
        })
    }
}

/// A stored batch, as operators see it. A batch whose envelope cannot be read is dead.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The batch's id.
    pub id: String,
    /// The state of the batch.
    pub state: BatchState,
    /// The index of the first task that has not ended, or the number of tasks if all have ended.
    pub next: u32,
    /// The number of deliveries of the task at `next` so far.
    pub attempt: u32,
    /// The worker that holds the batch, if the engine knows it.
    pub worker: Option<String>,
    /// For a leased batch, the time until the lease ends, unless the worker extends it. For a delayed batch, the time
    /// until the batch is ready. None if the engine does not know the time.
    pub left: Option<Duration>,
    /// The reason why the batch is dead. None if the batch is not dead.
    pub why: Option<String>,
    /// The envelope as it is stored, byte for byte.
    pub envelope: Vec<u8>,
}

impl Entry {
    /// Reads the batch from its envelope.
    ///
    /// # Errors
    /// Returns the errors of [`Batch::from_envelope`].
    pub fn batch(&self) -> Result<Batch> {
        Batch::from_envelope(&self.envelope)
    }
}

/// The number of batches that an engine stores in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Batches that can be leased.
    pub ready: u64,
    /// Batches that will be ready later.
    pub delayed: u64,
    /// Batches that workers hold.
    pub leased: u64,
    /// Batches in the dead letter.
    pub dead: u64,
}

impl Counts {
    /// Returns the number of batches in one state.
    pub(crate) fn of(&mut self, state: BatchState) -> &mut u64 {
        match state {
            BatchState::Ready => &mut self.ready,
            BatchState::Delayed => &mut self.delayed,
            BatchState::Leased => &mut self.leased,
            BatchState::Dead => &mut self.dead,
        }
    }
}
