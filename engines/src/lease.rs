//! What an engine hands out: leases to workers, entries to operators.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use serde::Serialize;

use crate::{Batch, Result, Task};

/// A batch that one worker holds, for a time.
#[derive(Debug)]
pub struct Lease {
    /// The tasks.
    pub batch: Batch,
    /// The index of the first task that has not ended; the number of tasks if all have.
    pub next: u32,
    /// How often that task has been delivered, this time included.
    pub attempt: u32,
    /// What the engine knows the lease by.
    pub(crate) token: Token,
}

/// What each engine compares before it changes anything.
#[derive(Debug)]
pub(crate) enum Token {
    /// A row, and its number of leases so far.
    Row { seq: i64, generation: i64, _held: Arc<()> },
    /// An entry of the stream, delivered to a consumer, at a task, and its number of leases so far.
    Stream { entry: String, consumer: String, next: u32, generation: u32, _held: Arc<()> },
    /// A message, and what is kept about it.
    Message(Box<crate::nats::Held>),
}

/// Which batches this process holds. After a pause it may find that its own leases have ended: it extends those, and never
/// takes them for a dead worker's.
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
    /// Notes that a batch is held, for as long as what this returns exists.
    pub(crate) fn hold(&self, key: K) -> Arc<()> {
        let held = Arc::new(());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, held| held.strong_count() > 0);
        all.insert(key, Arc::downgrade(&held));
        held
    }

    /// Whether a batch is held.
    pub(crate) fn holds(&self, key: &K) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(key).is_some_and(|held| held.strong_count() > 0)
    }
}

impl Lease {
    /// The task at [`Lease::next`].
    pub fn task(&self) -> Option<&Task> {
        self.batch.tasks.get(self.next as usize)
    }

    /// Whether that task has been delivered more often than it may: bury the batch, and do not run it.
    pub fn exhausted(&self) -> bool {
        self.task().is_some_and(|task| self.attempt > task.max_attempts.max(1))
    }
}

/// Where a batch is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchState {
    /// Can be leased; also if its lease has ended.
    Ready,
    /// Will be ready later, after a failure.
    Delayed,
    /// A worker holds it.
    Leased,
    /// In the dead letter.
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

/// A stored batch, for operators. Its envelope may be unreadable: then it is dead, and this is how one sees it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The batch's id.
    pub id: String,
    /// Where it is in its life.
    pub state: BatchState,
    /// As [`Lease::next`].
    pub next: u32,
    /// How often the task at `next` has been delivered so far.
    pub attempt: u32,
    /// The worker that holds it, where the engine knows.
    pub worker: Option<String>,
    /// How long until the lease ends unless the worker extends it, or until a delayed batch is ready. None if the engine does
    /// not know.
    pub left: Option<Duration>,
    /// Why it is dead.
    pub why: Option<String>,
    /// What is stored, byte for byte.
    pub envelope: Vec<u8>,
}

impl Entry {
    /// The batch.
    ///
    /// # Errors
    /// As [`Batch::from_envelope`].
    pub fn batch(&self) -> Result<Batch> {
        Batch::from_envelope(&self.envelope)
    }
}

/// How many batches an engine holds, by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Can be leased.
    pub ready: u64,
    /// Will be ready later.
    pub delayed: u64,
    /// Held by workers.
    pub leased: u64,
    /// In the dead letter.
    pub dead: u64,
}

impl Counts {
    /// The count of one state.
    pub(crate) fn of(&mut self, state: BatchState) -> &mut u64 {
        match state {
            BatchState::Ready => &mut self.ready,
            BatchState::Delayed => &mut self.delayed,
            BatchState::Leased => &mut self.leased,
            BatchState::Dead => &mut self.dead,
        }
    }
}
