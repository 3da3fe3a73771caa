//! Redis Streams with one consumer group: an engine for many machines.
//!
//! The server knows which worker holds an entry, since when, and how often the entry was delivered. It delivers new
//! entries, and entries that were not confirmed in time. Each change of a leased batch is one script, which acts only
//! if the lease is still valid.
//!
//! | key | |
//! |---|---|
//! | `{epilogue}:queue` | the stream; its group `workers` |
//! | `{epilogue}:ids` | from a batch's id to where it is: `ready ENTRY` or `dead ENTRY` |
//! | `{epilogue}:state` | from a batch's id to its next task and the number of its lease, if they are not both zero, and its attempts while it is delayed |
//! | `{epilogue}:delayed` | the ids of batches that were given back, sorted by when they may be leased, in the server's time |
//! | `{epilogue}:dead` | the dead letter, a stream too |
//!
//! A delayed batch has no owner: its entry stays in the stream until it is due. The server's `appendfsync` decides
//! whether an accepted batch survives a power cut.

mod admin;
mod connections;
mod script;

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use redis::aio::ConnectionManager;
use redis::streams::{StreamReadOptions, StreamReadReply};
use redis::{AsyncCommands as _, FromRedisValue, RedisResult};
use tokio::time::Instant;

use crate::lease::{Holders, Token};
use crate::{Batch, BatchState, Counts, Entry, Error, Lease, Options, Result, TaskEngine, Visitor};

use connections::Connections;
use script::{Arg, Script};

const QUEUE: &str = "{epilogue}:queue";
const IDS: &str = "{epilogue}:ids";
const STATE: &str = "{epilogue}:state";
const DELAYED: &str = "{epilogue}:delayed";
const DEAD: &str = "{epilogue}:dead";
const GROUP: &str = "workers";

/// The engine `redis://`.
pub struct Redis {
    connections: Connections,
    options: Options,
    /// The batches that this process holds, by entry.
    holders: Holders<String>,
    /// Entries that the server assigns to this process, although no lease in the process holds them any more.
    lost: Mutex<Vec<String>>,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("address", self.connections.address()).finish_non_exhaustive()
    }
}

/// A leased entry whose batch has not been read yet.
struct Taken {
    entry: String,
    id: String,
    envelope: Vec<u8>,
    next: u32,
    generation: u32,
    attempt: u32,
}

impl Redis {
    /// Prepares the engine. The first call connects to the server.
    ///
    /// # Errors
    /// Returns [`Error::Config`] for a URL that cannot be used.
    pub fn new(url: &str, options: Options) -> Result<Self> {
        let connections = Connections::new(url, options.timeout)?;
        Ok(Self { connections, options, holders: Holders::default(), lost: Mutex::default() })
    }

    async fn run<T: FromRedisValue>(&self, script: &Script, args: &[Arg<'_>]) -> Result<T> {
        self.connections.call(|mut connection| async move { script.run(&mut connection, args).await }).await
    }

    /// Makes a call that is not a script.
    async fn call<T, F>(&self, call: impl Fn(ConnectionManager) -> F) -> Result<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        self.connections.call(call).await
    }

    /// Leases an entry that can be leased now. None if there is none.
    async fn take(&self, worker: &str) -> Result<Option<Taken>> {
        let visibility = millis(self.options.visibility);
        loop {
            let lost = self.lost().pop().unwrap_or_default();
            let args = [Arg::from(worker), Arg::from(visibility), Arg::from(lost.as_str())];
            let mut reply: Vec<redis::Value> = self.run(&script::LEASE, &args).await?;
            // Lua ends a list at the first nil.
            reply.resize(6, redis::Value::Nil);
            let [ours, entry, id, envelope, state, attempt] = &reply[..] else { return Ok(None) };
            let ours: Vec<String> = read(ours);
            self.lost().extend(ours.into_iter().filter(|entry| !self.holders.holds(entry)));
            if *entry != redis::Value::Nil {
                let (next, generation) = parse(&read::<String>(state));
                let (entry, id, envelope, attempt) = (read(entry), read(id), read(envelope), read(attempt));
                return Ok(Some(Taken { entry, id, envelope, next, generation, attempt }));
            }
            if self.lost().is_empty() {
                return Ok(None);
            }
        }
    }

    fn lost(&self) -> MutexGuard<'_, Vec<String>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leases a new entry, if one comes within `wait`.
    async fn wait(&self, worker: &str, wait: Duration) -> Result<Option<Taken>> {
        let mut waiting = self.connections.waiting().await?;
        // Zero would mean forever.
        let block = wait.as_millis().max(1) as usize;
        let options = StreamReadOptions::default().group(GROUP, worker).count(1).block(block);
        let reply: RedisResult<Option<StreamReadReply>> =
            waiting.connection.xread_options(&[QUEUE], &[">"], &options).await;
        let reply = self.connections.put_back(waiting, reply)?;
        let Some(entry) = reply.flatten().and_then(|mut read| read.keys.pop()).and_then(|mut key| key.ids.pop()) else {
            return Ok(None);
        };
        let field = |name| entry.map.get(name).unwrap_or(&redis::Value::Nil);
        let (id, envelope): (String, _) = (read(field("id")), read(field("batch")));
        // A retried dead batch is new in the queue, but begins at the task at which it died.
        let (next, generation) = self.known(&id).await?;
        Ok(Some(Taken { entry: entry.id, id, envelope, next, generation, attempt: 1 }))
    }

    /// The stored state of a batch: its next task, and the number of its lease.
    async fn known(&self, id: &str) -> Result<(u32, u32)> {
        let state: Option<String> = self.call(|mut server| async move { server.hget(STATE, id).await }).await?;
        Ok(parse(&state.unwrap_or_default()))
    }

    /// Runs a script that first checks the lease, so that it acts only if the lease is still valid.
    async fn held(&self, script: &Script, id: &str, token: &Token, more: &[Arg<'_>]) -> Result<()> {
        let Token::Stream { entry, consumer, next, generation, .. } = token else { return Err(Error::LostLease) };
        let mut args = vec![
            Arg::from(entry.as_str()),
            Arg::from(consumer.as_str()),
            Arg::from(id),
            Arg::from(u64::from(*next)),
            Arg::from(u64::from(*generation)),
        ];
        args.extend_from_slice(more);
        match self.run(script, &args).await? {
            1 => Ok(()),
            _ => Err(Error::LostLease),
        }
    }

    async fn give_back(&self, lease: &Lease, after: Duration, attempts: u32) -> Result<()> {
        let more = [Arg::from(millis(after)), Arg::from(u64::from(attempts))];
        self.held(&script::GIVE_BACK, &lease.batch.id, &lease.token, &more).await
    }
}

/// How soon a waiting worker sees a batch whose delay or lease has ended.
const POLL: Duration = Duration::from_millis(250);

#[async_trait]
impl TaskEngine for Redis {
    async fn enqueue(&self, batch: &Batch) -> Result<()> {
        let envelope = batch.to_envelope()?;
        self.run(&script::ENQUEUE, &[Arg::from(&*batch.id), Arg::from(&*envelope)]).await
    }

    async fn enqueue_dead(&self, batch: &Batch, why: &str) -> Result<()> {
        let envelope = batch.to_envelope()?;
        self.run(&script::ENQUEUE, &[Arg::from(&*batch.id), Arg::from(&*envelope), Arg::from(why)]).await
    }

    async fn lease(&self, worker: &str, wait: Duration) -> Result<Option<Lease>> {
        let end = Instant::now() + wait;
        loop {
            let mut taken = self.take(worker).await?;
            let left = end.saturating_duration_since(Instant::now());
            if taken.is_none() && !left.is_zero() {
                taken = self.wait(worker, left.min(POLL)).await?;
            }
            if let Some(Taken { entry, id, envelope, next, generation, attempt }) = taken {
                let _held = self.holders.hold(entry.clone());
                let token = Token::Stream { entry, consumer: worker.to_owned(), next, generation, _held };
                match Batch::from_envelope(&envelope) {
                    Ok(batch) => return Ok(Some(Lease { batch, next, attempt, token })),
                    Err(error) => {
                        self.held(&script::BURY, &id, &token, &[Arg::from(&*error.to_string())]).await?;
                    }
                }
            } else if left.is_zero() {
                return Ok(None);
            }
        }
    }

    async fn extend(&self, lease: &Lease) -> Result<()> {
        self.held(&script::EXTEND, &lease.batch.id, &lease.token, &[]).await
    }

    async fn checkpoint(&self, lease: &mut Lease, next: u32) -> Result<()> {
        self.held(&script::CHECKPOINT, &lease.batch.id, &lease.token, &[Arg::from(u64::from(next))]).await?;
        (lease.next, lease.attempt) = (next, 1);
        if let Token::Stream { next: known, .. } = &mut lease.token {
            *known = next;
        }
        Ok(())
    }

    async fn ack(&self, lease: &Lease) -> Result<()> {
        self.held(&script::ACK, &lease.batch.id, &lease.token, &[]).await
    }

    async fn retry(&self, lease: &Lease, after: Duration) -> Result<()> {
        self.give_back(lease, after, lease.attempt).await
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        self.give_back(lease, Duration::ZERO, lease.attempt.saturating_sub(1)).await
    }

    async fn bury(&self, lease: &Lease, why: &str) -> Result<()> {
        self.held(&script::BURY, &lease.batch.id, &lease.token, &[Arg::from(why)]).await
    }

    async fn visit(&self, state: Option<BatchState>, limit: usize, each: Visitor<'_>) -> Result<()> {
        self.visit_entries(state, limit, each).await
    }

    async fn show(&self, id: &str) -> Result<Option<Entry>> {
        self.show_entry(id).await
    }

    async fn retry_dead(&self, id: &str) -> Result<Option<Entry>> {
        self.changed_entry(&script::RETRY_DEAD, id).await
    }

    async fn remove(&self, id: &str) -> Result<Option<Entry>> {
        self.changed_entry(&script::REMOVE, id).await
    }

    async fn counts(&self) -> Result<Counts> {
        self.count_entries().await
    }

    async fn backlog(&self) -> Result<u64> {
        self.count_backlog().await
    }

    async fn risks(&self) -> Result<Vec<String>> {
        self.risks_of_settings().await
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Reads a value of a reply. An unexpected value becomes an empty one. The batch then cannot be read, and is buried.
fn read<T: FromRedisValue + Default>(value: &redis::Value) -> T {
    redis::from_redis_value_ref(value).unwrap_or_default()
}

/// The first two numbers of a value in `{epilogue}:state`.
fn parse(state: &str) -> (u32, u32) {
    let mut numbers = state.split(' ').map(|number| number.parse().unwrap_or_default());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
}
