//! A task engine in the memory of this process, for tests. The code of this engine shows in the simplest form what each
//! engine must do.
//!
//! Each call looks through all stored batches, so the engine is slow with very many batches.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::{self, Instant};

use crate::lease::Token;
use crate::{Batch, BatchState, Counts, Entry, Error, Lease, Options, Result, TaskEngine, Visitor};

/// The task engine with the URL `memory:`.
#[derive(Debug)]
pub struct Memory {
    visibility: Duration,
    stored: Mutex<Stored>,
    /// Wakes a waiting worker when a batch becomes ready.
    ready: Notify,
}

#[derive(Debug, Default)]
struct Stored {
    rows: BTreeMap<i64, Row>,
    /// The number of the newest row. The engine never gives the number of a removed row to a new row.
    last: i64,
}

#[derive(Debug)]
struct Row {
    batch: Batch,
    next: u32,
    attempt: u32,
    /// The time from which a worker can lease the batch. While a worker has a lease, this is the end of the lease.
    due: Instant,
    worker: Option<String>,
    /// A weak pointer to the field `_held` of the lease's [`Token`]. After the worker has dropped the lease, the
    /// pointer cannot be upgraded.
    held: Weak<()>,
    /// The number of times that the batch was leased.
    generation: i64,
    /// The reason why the batch is dead. If the batch is not dead, the value is `None`.
    why: Option<String>,
}

impl Row {
    fn state(&self, now: Instant) -> BatchState {
        match self {
            Self { why: Some(_), .. } => BatchState::Dead,
            _ if self.due <= now => BatchState::Ready,
            Self { worker: Some(_), .. } => BatchState::Leased,
            _ => BatchState::Delayed,
        }
    }

    /// Returns true if this worker still has its [`Lease`] value for the batch, even if the lease has run out.
    fn is_of(&self, worker: &str) -> bool {
        self.worker.as_deref() == Some(worker) && self.held.strong_count() > 0
    }

    fn entry(&self, now: Instant) -> Result<Entry> {
        let state = self.state(now);
        Ok(Entry {
            id: self.batch.id.clone(),
            state,
            next: self.next,
            attempt: self.attempt,
            worker: self.worker.clone().filter(|_| state == BatchState::Leased),
            left: matches!(state, BatchState::Leased | BatchState::Delayed).then(|| self.due - now),
            why: self.why.clone(),
            envelope: self.batch.to_envelope()?,
        })
    }
}

impl Memory {
    /// Creates an engine without batches.
    pub fn new(options: Options) -> Self {
        Self { visibility: options.visibility, stored: Mutex::default(), ready: Notify::new() }
    }

    fn stored(&self) -> MutexGuard<'_, Stored> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, batch: &Batch, why: Option<&str>) -> Result<()> {
        batch.to_envelope()?;
        let mut stored = self.stored();
        if stored.rows.values().any(|row| row.batch.id == batch.id) {
            return Ok(());
        }
        stored.last += 1;
        let row = Row {
            batch: batch.clone(),
            next: 0,
            attempt: 0,
            due: Instant::now(),
            worker: None,
            held: Weak::new(),
            generation: 0,
            why: why.map(str::to_owned),
        };
        let seq = stored.last;
        stored.rows.insert(seq, row);
        self.ready.notify_one();
        Ok(())
    }

    fn take(&self, worker: &str) -> Option<Lease> {
        let now = Instant::now();
        let mut stored = self.stored();
        for row in stored.rows.values_mut().filter(|row| row.is_of(worker) && row.due <= now) {
            row.due = now + self.visibility;
        }
        let ready = stored.rows.iter_mut().filter(|(_, row)| row.state(now) == BatchState::Ready);
        let (&seq, row) = ready.min_by_key(|(seq, row)| (row.due, **seq))?;
        row.attempt += 1;
        row.generation += 1;
        row.due = now + self.visibility;
        row.worker = Some(worker.to_owned());
        let held = Arc::new(());
        row.held = Arc::downgrade(&held);
        let token = Token::Row { seq, generation: row.generation, _held: held };
        Some(Lease { batch: row.batch.clone(), next: row.next, attempt: row.attempt, token })
    }

    fn take_out(&self, id: &str) -> Result<Option<Entry>> {
        let mut removed =
            self.stored().rows.extract_if(.., |_, row| row.batch.id == id).map(|(_, row)| row).collect::<Vec<_>>();
        removed.pop().map(|row| row.entry(Instant::now())).transpose()
    }

    /// Changes the row of a leased batch if the lease is still valid. Otherwise returns [`Error::LostLease`].
    fn held(&self, lease: &Lease, change: impl FnOnce(&mut Row)) -> Result<()> {
        let Token::Row { seq, generation, .. } = lease.token else { return Err(Error::LostLease) };
        let mut stored = self.stored();
        let row = stored.rows.get_mut(&seq).filter(|row| row.generation == generation && row.worker.is_some());
        change(row.ok_or(Error::LostLease)?);
        self.ready.notify_one();
        Ok(())
    }
}

#[async_trait]
impl TaskEngine for Memory {
    async fn enqueue(&self, batch: &Batch) -> Result<()> {
        self.insert(batch, None)
    }

    async fn enqueue_dead(&self, batch: &Batch, why: &str) -> Result<()> {
        self.insert(batch, Some(why))
    }

    async fn lease(&self, worker: &str, wait: Duration) -> Result<Option<Lease>> {
        let end = Instant::now() + wait;
        loop {
            if let Some(lease) = self.take(worker) {
                return Ok(Some(lease));
            }
            let now = Instant::now();
            if now >= end {
                return Ok(None);
            }
            let next_due = self.stored().rows.values().filter(|row| row.why.is_none()).map(|row| row.due).min();
            let until = next_due.unwrap_or(end).min(end);
            let _ = time::timeout_at(until, self.ready.notified()).await;
        }
    }

    async fn extend(&self, lease: &Lease) -> Result<()> {
        self.held(lease, |row| row.due = Instant::now() + self.visibility)
    }

    async fn checkpoint(&self, lease: &mut Lease, next: u32) -> Result<()> {
        self.held(lease, |row| {
            row.due = Instant::now() + self.visibility;
            row.next = next;
            row.attempt = 1;
        })?;
        lease.next = next;
        lease.attempt = 1;
        Ok(())
    }

    async fn ack(&self, lease: &Lease) -> Result<()> {
        self.held(lease, |_| ())?;
        self.take_out(&lease.batch.id).map(drop)
    }

    async fn retry(&self, lease: &Lease, after: Duration) -> Result<()> {
        self.held(lease, |row| {
            row.due = Instant::now() + after;
            row.worker = None;
        })
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        self.held(lease, |row| {
            row.due = Instant::now();
            row.worker = None;
            row.attempt -= 1;
        })
    }

    async fn bury(&self, lease: &Lease, why: &str) -> Result<()> {
        self.held(lease, |row| {
            row.worker = None;
            row.why = Some(why.to_owned());
        })
    }

    async fn visit(&self, state: Option<BatchState>, limit: usize, each: Visitor<'_>) -> Result<()> {
        let now = Instant::now();
        let stored = self.stored();
        let rows = stored.rows.values().filter(|row| state.is_none_or(|state| row.state(now) == state));
        rows.take(limit).try_for_each(|row| row.entry(now).map(&mut *each))
    }

    async fn show(&self, id: &str) -> Result<Option<Entry>> {
        let stored = self.stored();
        stored.rows.values().find(|row| row.batch.id == id).map(|row| row.entry(Instant::now())).transpose()
    }

    async fn retry_dead(&self, id: &str) -> Result<Option<Entry>> {
        let mut stored = self.stored();
        let Some(row) = stored.rows.values_mut().find(|row| row.batch.id == id && row.why.is_some()) else {
            return Ok(None);
        };
        let dead = row.entry(Instant::now())?;
        row.why = None;
        row.attempt = 0;
        row.due = Instant::now();
        self.ready.notify_one();
        Ok(Some(dead))
    }

    async fn remove(&self, id: &str) -> Result<Option<Entry>> {
        self.take_out(id)
    }

    async fn counts(&self) -> Result<Counts> {
        let now = Instant::now();
        let mut counts = Counts::default();
        for row in self.stored().rows.values() {
            *counts.of(row.state(now)) += 1;
        }
        Ok(counts)
    }
}
