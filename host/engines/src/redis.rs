//! The task engine that stores batches in Redis Streams, for many machines. Each batch is one entry of a stream. All
//! workers are in one consumer group.
//!
//! For each entry that a worker has got, the server knows the worker, the time since the last delivery, and the number
//! of deliveries. A worker gets new entries, and entries that another worker did not acknowledge in time. Each change
//! of a leased batch is one Lua script, which changes the batch only if the lease is still valid.
//!
//! | key | |
//! |---|---|
//! | `{epilogue}:queue` | the stream of batches, with the consumer group `workers` |
//! | `{epilogue}:ids` | a hash from a batch's id to its place: `ready ENTRY` or `dead ENTRY` |
//! | `{epilogue}:state` | a hash from a batch's id to its next task, the number of its lease and, during a delay, its attempts; a new batch has no state |
//! | `{epilogue}:delayed` | the ids of delayed batches, sorted by the end of the delay, in the server's time |
//! | `{epilogue}:dead` | the dead letter, which is also a stream |
//!
//! No worker holds a delayed batch. The entry of a delayed batch stays in the stream, and a worker can lease the batch
//! when the delay has ended. The server's setting `appendfsync` decides whether an accepted batch survives a power cut.

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

/// The task engine with the URL `redis://`.
pub struct Redis {
    connections: Connections,
    options: Options,
    /// The batches that this process holds, by the ids of their stream entries.
    holders: Holders<String>,
    /// The ids of entries that the server still assigns to a worker of this process, although the worker has dropped
    /// the lease.
    lost: Mutex<Vec<String>>,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("address", self.connections.address()).finish_non_exhaustive()
    }
}

/// An entry that the engine has just leased. The engine has not read the batch from the envelope yet.
struct Taken {
    entry: String,
    id: String,
    envelope: Vec<u8>,
    next: u32,
    generation: u32,
    attempt: u32,
}

impl Redis {
    /// Creates the engine. The first call to the engine connects to the server.
    ///
    /// # Errors
    /// Returns [`Error::Config`] if the URL is not valid.
    pub fn new(url: &str, options: Options) -> Result<Self> {
        let connections = Connections::new(url, options.timeout)?;
        Ok(Self { connections, options, holders: Holders::default(), lost: Mutex::default() })
    }

    async fn run<T: FromRedisValue>(&self, script: &Script, args: &[Arg<'_>]) -> Result<T> {
        self.connections.call(|mut connection| async move { script.run(&mut connection, args).await }).await
    }

    /// Sends a command to the server. To run a script, use `run`.
    async fn call<T, F>(&self, call: impl Fn(ConnectionManager) -> F) -> Result<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        self.connections.call(call).await
    }

    /// Leases an entry that is ready now. If no entry is ready, returns `None`.
    async fn take(&self, worker: &str) -> Result<Option<Taken>> {
        let visibility = millis(self.options.visibility);
        loop {
            let lost = self.lost().pop().unwrap_or_default();
            let args = [Arg::from(worker), Arg::from(visibility), Arg::from(lost.as_str())];
            let mut reply: Vec<redis::Value> = self.run(&script::LEASE, &args).await?;
            // The script returns a Lua list, and Lua ends a list at the first nil. So the reply may have fewer than six
            // values.
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

    /// Waits for a new entry for at most the time `wait`, and leases the entry. If no entry comes, returns `None`.
    async fn wait(&self, worker: &str, wait: Duration) -> Result<Option<Taken>> {
        let mut waiting = self.connections.waiting().await?;
        // If the time for `BLOCK` is zero, Redis waits forever.
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
        // If an operator has retried a dead batch, the batch has a new entry, but starts at the task that failed for
        // good.
        let (next, generation) = self.known(&id).await?;
        Ok(Some(Taken { entry: entry.id, id, envelope, next, generation, attempt: 1 }))
    }

    /// Returns the stored state of a batch: the index of its next task, and the number of its lease.
    async fn known(&self, id: &str) -> Result<(u32, u32)> {
        let state: Option<String> = self.call(|mut server| async move { server.hget(STATE, id).await }).await?;
        Ok(parse(&state.unwrap_or_default()))
    }

    /// Runs a script that changes a leased batch. The script first checks the lease. If the lease is not valid, the
    /// script changes nothing.
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

/// The longest time until a waiting worker notices that the delay or the lease of a batch has ended.
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

/// Reads a value of the server's reply. If the value has an unexpected type, returns an empty value. If an envelope is
/// empty, the engine moves the batch to the dead letter.
fn read<T: FromRedisValue + Default>(value: &redis::Value) -> T {
    redis::from_redis_value_ref(value).unwrap_or_default()
}

/// Reads the first two numbers of a value in `{epilogue}:state`: the index of the batch's next task, and the number of
/// the batch's lease.
fn parse(state: &str) -> (u32, u32) {
    let mut numbers = state.split(' ').map(|number| number.parse().unwrap_or_default());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
}
