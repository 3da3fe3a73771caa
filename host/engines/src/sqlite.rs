//! The task engine that stores batches in one SQLite file, for one machine. The file is in WAL mode.
//!
//! One thread of each process uses the file. The thread puts all waiting operations of the process into one
//! transaction. For example, 32 waiting requests share the cost of one `fsync`.
//!
//! Several processes may use the file: hosts, workers and `epilogue tasks`. When a process opens the file, it registers
//! itself in the file as an [`owner::Owner`]. The process also finds the owners whose process has died, and frees the
//! batches that these owners had leased.
//!
//! If a batch has no lease and no delay, the column `due` of its row is zero. If the batch has a lease or a delay,
//! `due` is the time when the lease or the delay ends, by one of the [`clock`]s. With the indexes on `due`, SQLite
//! finds the next batch in one or two look-ups, no matter how many batches are stored.

mod admin;
mod clock;
mod order;
mod owner;
mod schema;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::Notify;
use tokio::time::{self, Instant};

use crate::database::{Database, Place};
use crate::lease::{Holders, Token};
use crate::{Batch, BatchState, Counts, Entry, Error, Lease, Options, PAGE, Result, TaskEngine, Visitor};

use clock::millis;
use owner::Owner;

/// The longest time until a waiting worker notices that another process has enqueued a batch, or that the lease or the
/// delay of a batch has ended.
const POLL: Duration = Duration::from_millis(100);

/// The task engine with the URL `sqlite:PATH`.
#[derive(Debug)]
pub struct Sqlite {
    visibility: Duration,
    writer: Database,
    /// Wakes a waiting worker when this process makes a batch ready.
    ready: Notify,
    owner: Arc<Owner>,
    holders: Holders<i64>,
}

/// A row that the engine has just leased. The engine has not read the batch from the envelope yet.
struct Taken {
    token: Token,
    next: u32,
    attempt: u32,
    envelope: Vec<u8>,
}

impl Sqlite {
    /// Opens the database file that `url` names. If the file does not exist, creates a file that only its owner can
    /// read. Also ends the leases of processes that have died.
    ///
    /// # Errors
    /// Returns [`Error::Config`] if the URL is not valid, or if the file is not an engine's database. Returns
    /// [`Error::Unavailable`] if the file cannot be opened, or if [`Options::operator`] is true and the file does not
    /// exist.
    pub fn open(url: &str, options: Options) -> Result<Self> {
        let (path, synchronous) = parse(url)?;
        let mut connection = schema::open(&path, synchronous, &options)?;
        let place = Place::new(&path).map_err(|error| Error::Unavailable(format!("{}: {error}", path.display())))?;
        let owner = Owner::new(&path, &mut connection)?;
        let writer = Database::start(connection, Some(place), options.timeout)?;
        let (ready, owner) = (Notify::new(), Arc::new(owner));
        Ok(Self { visibility: options.visibility, writer, ready, owner, holders: Holders::default() })
    }

    async fn insert(&self, batch: &Batch, why: Option<&str>) -> Result<()> {
        let envelope = batch.to_envelope()?;
        let (id, why) = (batch.id.clone(), why.map(str::to_owned));
        self.writer
            .run(move |connection| {
                let mut insert = connection.prepare_cached(
                    "INSERT INTO batches (id, due, why) VALUES (?, 0, ?) ON CONFLICT (id) DO NOTHING",
                )?;
                if insert.execute(params![id, why])? == 1 {
                    let seq = connection.last_insert_rowid();
                    connection
                        .prepare_cached("INSERT INTO envelopes (seq, envelope) VALUES (?, ?)")?
                        .execute(params![seq, envelope])?;
                }
                Ok(())
            })
            .await?;
        self.ready.notify_one();
        Ok(())
    }

    async fn take(&self, worker: &str) -> Result<Option<Taken>> {
        let (worker, owner, holders) = (worker.to_owned(), self.owner.clone(), self.holders.clone());
        // A lease lasts at least 1 ms. With 0 ms, `order::next` would extend the same lease again and again.
        let visibility = millis(self.visibility).max(1);
        self.writer
            .run(move |connection| {
                let now = clock::awake();
                let until = now + visibility;
                let ours = |seq: &i64, of: &str| of == owner.id() && holders.holds(seq);
                let Some(seq) = order::next(connection, ours, now, until)? else { return Ok(None) };
                let mut lease = connection.prepare_cached(
                    "UPDATE batches SET attempt = attempt + 1, generation = generation + 1, worker = ?, owner = ?, due = ?
                     WHERE seq = ? RETURNING generation, next, attempt",
                )?;
                let (generation, next, attempt) = lease
                    .query_row(params![worker, owner.id(), until, seq], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
                let mut envelope = connection.prepare_cached("SELECT envelope FROM envelopes WHERE seq = ?")?;
                let envelope = envelope.query_row([seq], |row| row.get(0)).optional()?.unwrap_or_default();
                let token = Token::Row { seq, generation, _held: holders.hold(seq) };
                Ok(Some(Taken { token, next, attempt, envelope }))
            })
            .await
    }

    /// Changes the row of a leased batch if the lease is still valid. Otherwise returns [`Error::LostLease`].
    async fn held<F>(&self, token: &Token, change: F) -> Result<()>
    where
        F: FnOnce(&Connection, i64) -> rusqlite::Result<usize> + Send + 'static,
    {
        let &Token::Row { seq, generation, .. } = token else { return Err(Error::LostLease) };
        let owner = self.owner.clone();
        let held = self
            .writer
            .run(move |connection| {
                let held = connection
                    .prepare_cached("SELECT 1 FROM batches WHERE seq = ? AND generation = ? AND owner = ?")?
                    .exists(params![seq, generation, owner.id()])?;
                if held {
                    change(connection, seq)?;
                }
                Ok(held)
            })
            .await?;
        if held { Ok(()) } else { Err(Error::LostLease) }
    }

    async fn bury_token(&self, token: &Token, why: &str) -> Result<()> {
        let why = why.to_owned();
        self.held(token, move |connection, seq| {
            connection
                .prepare_cached("UPDATE batches SET why = ?, due = 0, worker = NULL, owner = NULL WHERE seq = ?")?
                .execute(params![why, seq])
        })
        .await
    }
}

#[async_trait]
impl TaskEngine for Sqlite {
    async fn enqueue(&self, batch: &Batch) -> Result<()> {
        self.insert(batch, None).await
    }

    async fn enqueue_dead(&self, batch: &Batch, why: &str) -> Result<()> {
        self.insert(batch, Some(why)).await
    }

    async fn lease(&self, worker: &str, wait: Duration) -> Result<Option<Lease>> {
        let end = Instant::now() + wait;
        loop {
            if let Some(Taken { token, next, attempt, envelope }) = self.take(worker).await? {
                match Batch::from_envelope(&envelope) {
                    Ok(batch) => return Ok(Some(Lease { batch, next, attempt, token })),
                    Err(error) => self.bury_token(&token, &error.to_string()).await?,
                }
                continue;
            }
            let now = Instant::now();
            if now >= end {
                return Ok(None);
            }
            let _ = time::timeout_at(end.min(now + POLL), self.ready.notified()).await;
        }
    }

    async fn extend(&self, lease: &Lease) -> Result<()> {
        let visibility = millis(self.visibility);
        self.held(&lease.token, move |connection, seq| {
            let due = clock::awake() + visibility;
            connection.prepare_cached("UPDATE batches SET due = ? WHERE seq = ?")?.execute(params![due, seq])
        })
        .await
    }

    async fn checkpoint(&self, lease: &mut Lease, next: u32) -> Result<()> {
        let visibility = millis(self.visibility);
        self.held(&lease.token, move |connection, seq| {
            let due = clock::awake() + visibility;
            connection
                .prepare_cached("UPDATE batches SET due = ?, next = ?, attempt = 1 WHERE seq = ?")?
                .execute(params![due, next, seq])
        })
        .await?;
        lease.next = next;
        lease.attempt = 1;
        Ok(())
    }

    async fn ack(&self, lease: &Lease) -> Result<()> {
        self.held(&lease.token, schema::delete).await
    }

    async fn retry(&self, lease: &Lease, after: Duration) -> Result<()> {
        let delay = millis(after);
        self.held(&lease.token, move |connection, seq| {
            let due = if delay == 0 { 0 } else { clock::running() + delay };
            connection
                .prepare_cached(
                    "UPDATE batches SET due = ?, since = ?, delay = ?, worker = NULL, owner = NULL WHERE seq = ?",
                )?
                .execute(params![due, clock::wall(), delay, seq])
        })
        .await?;
        self.ready.notify_one();
        Ok(())
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        self.held(&lease.token, move |connection, seq| {
            connection
                .prepare_cached(
                    "UPDATE batches SET due = 0, attempt = attempt - 1, worker = NULL, owner = NULL WHERE seq = ?",
                )?
                .execute([seq])
        })
        .await?;
        self.ready.notify_one();
        Ok(())
    }

    async fn bury(&self, lease: &Lease, why: &str) -> Result<()> {
        self.bury_token(&lease.token, why).await
    }

    async fn visit(&self, state: Option<BatchState>, limit: usize, each: Visitor<'_>) -> Result<()> {
        let (mut after, mut left) = (0, limit);
        while left > 0 {
            let count = left.min(PAGE);
            let page = self.writer.run(move |connection| admin::page(connection, state, after, count)).await?;
            let is_last = page.len() < count;
            for (place, entry) in page {
                (after, left) = (place, left - 1);
                each(entry);
            }
            if is_last {
                break;
            }
        }
        Ok(())
    }

    async fn show(&self, id: &str) -> Result<Option<Entry>> {
        let id = id.to_owned();
        self.writer.run(move |connection| admin::show(connection, &id)).await
    }

    async fn retry_dead(&self, id: &str) -> Result<Option<Entry>> {
        let id = id.to_owned();
        let retried = self.writer.run(move |connection| admin::retry_dead(connection, &id)).await?;
        self.ready.notify_one();
        Ok(retried)
    }

    async fn remove(&self, id: &str) -> Result<Option<Entry>> {
        let id = id.to_owned();
        self.writer.run(move |connection| admin::remove(connection, &id)).await
    }

    async fn counts(&self) -> Result<Counts> {
        self.writer.run(admin::counts).await
    }

    async fn backlog(&self) -> Result<u64> {
        self.writer.run(admin::backlog).await
    }
}

/// Splits a URL into the file's path and the value for `PRAGMA synchronous`.
fn parse(url: &str) -> Result<(PathBuf, &'static str)> {
    let rest = url.strip_prefix("sqlite:").unwrap_or(url);
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    if path.is_empty() {
        return Err(Error::Config("sqlite: needs a file: sqlite:PATH".to_owned()));
    }
    let synchronous = match query {
        "" | "synchronous=full" => "FULL",
        "synchronous=normal" => "NORMAL",
        _ => {
            let known = "'synchronous=full' or 'synchronous=normal'";
            return Err(Error::Config(format!("sqlite:{path} has the unknown option '{query}': use {known}")));
        }
    };
    Ok((path.into(), synchronous))
}
