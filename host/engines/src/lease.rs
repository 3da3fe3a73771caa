//! The values that an engine returns. Workers get leases, and operators get entries.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use serde::Serialize;

use crate::{Batch, Result, Task};

/// The right of one worker to run a batch for a limited time.
#[derive(Debug)]
pub struct Lease {
    /// The batch that the worker may run.
    pub batch: Batch,
    /// The index of the first task that has not ended. If all tasks have ended, the value is the number of tasks.
    pub next: u32,
    /// The number of the current attempt of the task at [`Lease::next`]. The first attempt is number 1.
    pub attempt: u32,
    /// The data by which the engine recognizes the lease.
    pub(crate) token: Token,
}

/// The data that an engine compares before each change, to check that the lease is still valid.
#[derive(Debug)]
pub(crate) enum Token {
    /// Identifies a lease in SQLite or in memory by the number of the batch's row, and the number of times that the row
    /// was leased.
    Row { seq: i64, generation: i64, _held: Arc<()> },
    /// Identifies a lease in Redis by the batch's stream entry, the worker that has the entry, the next task, and the
    /// number of the lease.
    Stream { entry: String, consumer: String, next: u32, generation: u32, _held: Arc<()> },
    /// Identifies a lease in NATS by the batch's message and stored state.
    Message(Box<crate::nats::Held>),
}

/// The batches for which this process still has a [`Lease`] value. If a lease of a batch in this list has run out, for
/// example because the process was paused, the engine extends the lease. Without this list, the engine could not
/// distinguish a paused worker of this process from a dead worker, and would lease the batch again.
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
    /// Marks a batch as held by this process until the caller drops the returned value.
    pub(crate) fn hold(&self, key: K) -> Arc<()> {
        let held = Arc::new(());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, held| held.strong_count() > 0);
        all.insert(key, Arc::downgrade(&held));
        held
    }

    /// Returns true if this process still has a [`Lease`] value for the batch.
    pub(crate) fn holds(&self, key: &K) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(key).is_some_and(|held| held.strong_count() > 0)
    }
}

impl Lease {
    /// Returns the task at [`Lease::next`], or `None` if all tasks have ended.
    pub fn task(&self) -> Option<&Task> {
        self.batch.tasks.get(self.next as usize)
    }

    /// Returns true if the task at [`Lease::next`] has no attempts left. Do not run an exhausted task, and move its
    /// batch to the dead letter.
    pub fn exhausted(&self) -> bool {
        self.task().is_some_and(|task| self.attempt > task.max_attempts.max(1))
    }
}

/// The state of a stored batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchState {
    /// A worker can lease the batch now. The batch has no lease and no delay, or its lease or its delay has ended.
    Ready,
    /// A task of the batch has failed and waits for its next attempt. When the wait is over, a worker can lease the
    /// batch.
    Delayed,
    /// A worker holds a lease of the batch.
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

/// A stored batch as operators see it. If the envelope is damaged, [`Entry::batch`] returns an error.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The batch's id.
    pub id: String,
    /// The state of the batch.
    pub state: BatchState,
    /// The index of the first task that has not ended. If all tasks have ended, the value is the number of tasks.
    pub next: u32,
    /// The number of attempts of the task at [`Entry::next`] so far, including a running attempt.
    pub attempt: u32,
    /// The name of the worker that has leased the batch. If no worker has a lease, the value is `None`.
    pub worker: Option<String>,
    /// For a leased batch, the time until the lease ends if the worker does not extend the lease. For a delayed batch,
    /// the time until a worker can lease the batch. In the other states, the value is `None`.
    pub left: Option<Duration>,
    /// The reason why the batch is dead. If the batch is not dead, the value is `None`.
    pub why: Option<String>,
    /// The stored envelope of the batch, byte for byte.
    pub envelope: Vec<u8>,
}

impl Entry {
    /// Reads the batch from its envelope.
    ///
    /// # Errors
    /// Returns the error of [`Batch::from_envelope`], for example if the envelope is damaged.
    pub fn batch(&self) -> Result<Batch> {
        Batch::from_envelope(&self.envelope)
    }
}

/// The number of batches that an engine stores in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// The number of batches that a worker can lease now.
    pub ready: u64,
    /// The number of batches that a worker can lease later, after a failed attempt.
    pub delayed: u64,
    /// The number of batches that workers hold.
    pub leased: u64,
    /// The number of batches in the dead letter.
    pub dead: u64,
}

impl Counts {
    /// Returns a mutable reference to the number of batches in one state.
    pub(crate) fn of(&mut self, state: BatchState) -> &mut u64 {
        match state {
            BatchState::Ready => &mut self.ready,
            BatchState::Delayed => &mut self.delayed,
            BatchState::Leased => &mut self.leased,
            BatchState::Dead => &mut self.dead,
        }
    }
}
