//! Redis Streams with one consumer group: for many machines.
//!
//! The server knows who holds an entry, since when, and how often it was delivered; it hands out what is new, and what
//! nobody has confirmed in time. Each change of a leased batch is one script, which acts only if the lease still stands.
//!
//! | key | |
//! |---|---|
//! | `{epilogue}:queue` | the stream; its group `workers` |
//! | `{epilogue}:ids` | from a batch's id to where it is: `ready ENTRY` or `dead ENTRY` |
//! | `{epilogue}:state` | from a batch's id to its next task and the number of its lease, if they are not both zero |
//! | `{epilogue}:dead` | the dead letter, a stream too |
//!
//! A batch that is given back goes to the consumer `-`. A delay is kept as the time for which the entry counts as idle, so it
//! can't be longer than a lease. How durable an accepted batch is depends on the server's `appendfsync`.

mod admin;
mod script;

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection};
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::streams::{StreamReadOptions, StreamReadReply};
use redis::{AsyncCommands as _, AsyncConnectionConfig, Client, FromRedisValue, IntoConnectionInfo as _, RedisError};
use tokio::time::{self, Instant};

use crate::lease::Token;
use crate::{Batch, Counts, Engine, Entry, Error, Lease, Options, Result, State};

use script::{Arg, Script};

const QUEUE: &str = "{epilogue}:queue";
const IDS: &str = "{epilogue}:ids";
const STATE: &str = "{epilogue}:state";
const DEAD: &str = "{epilogue}:dead";
const GROUP: &str = "workers";

/// The consumer that holds what was given back.
const NOBODY: &str = "-";

/// The engine `redis://`.
pub struct Redis {
    client: Client,
    options: Options,
    /// For all calls but those that wait.
    shared: ConnectionManager,
    /// For calls that wait: a connection does nothing else meanwhile.
    waiting: Mutex<Vec<MultiplexedConnection>>,
    /// Where the next search for ended leases begins.
    cursor: Mutex<String>,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("address", self.client.get_connection_info().addr()).finish_non_exhaustive()
    }
}

/// An entry that was leased, not yet read.
struct Taken {
    entry: String,
    id: String,
    envelope: Vec<u8>,
    next: u32,
    generation: u32,
    attempt: u32,
}

impl Redis {
    /// Prepares the engine; the first call connects.
    ///
    /// # Errors
    /// [`Error::Config`] for a URL that can't be used.
    pub fn new(url: &str, options: Options) -> Result<Self> {
        let unusable = |error: RedisError| {
            let form = "redis://[user:password@]host[:port][/db]";
            Error::Config(format!("the URL of the task engine is not of the form {form}: {error}"))
        };
        // What is sent into a network that was cut must not wait for TCP's own patience, which is minutes.
        let keepalive = TcpKeepalive::new().with_time(options.timeout).with_interval(options.timeout);
        let tcp = TcpSettings::default().set_keepalive(keepalive).set_user_timeout(options.timeout);
        let client = url.into_connection_info().map(|info| info.set_tcp_settings(tcp)).and_then(Client::open);
        let client = client.map_err(unusable)?;
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(options.timeout))
            .set_response_timeout(Some(options.timeout));
        let shared = ConnectionManager::new_lazy_with_config(client.clone(), config).map_err(unusable)?;
        Ok(Self { client, options, shared, waiting: Mutex::default(), cursor: Mutex::new("0-0".to_owned()) })
    }

    /// Runs a script, and once more if the connection broke, as it does when the server is started anew, or if the group is
    /// missing, as it is in a new server.
    async fn run<T: FromRedisValue>(&self, script: &Script, args: &[Arg<'_>]) -> Result<T> {
        self.bounded(async {
            let mut connection = self.shared.clone();
            match script.run(&mut connection, args).await {
                Err(error) if self.is_cured(&error).await? => script.run(&mut connection, args).await,
                result => result,
            }
        })
        .await
    }

    async fn is_cured(&self, error: &RedisError) -> redis::RedisResult<bool> {
        if error.to_string().contains("NOGROUP") {
            return self.create_group().await.map(|()| true);
        }
        Ok(error.is_connection_dropped())
    }

    async fn create_group(&self) -> redis::RedisResult<()> {
        match self.shared.clone().xgroup_create_mkstream(QUEUE, GROUP, "0").await {
            Err(error) if error.code() == Some("BUSYGROUP") => Ok(()),
            created => created,
        }
    }

    async fn bounded<T>(&self, call: impl Future<Output = redis::RedisResult<T>>) -> Result<T> {
        match time::timeout(self.options.timeout, call).await {
            Ok(result) => result.map_err(|error| Error::Unavailable(format!("Redis: {error}"))),
            Err(_) => Err(Error::Unavailable(format!("no answer from Redis within {:?}", self.options.timeout))),
        }
    }

    /// What can be leased now.
    async fn take(&self, worker: &str) -> Result<Option<Taken>> {
        let cursor = self.cursor.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let visibility = millis(self.options.visibility);
        let args = [Arg::from(worker), Arg::from(visibility), Arg::from(cursor.as_str())];
        let mut reply: Vec<redis::Value> = self.run(&script::LEASE, &args).await?;
        // Lua ends a list at the first nil.
        reply.resize(6, redis::Value::Nil);
        let [cursor, entry, id, envelope, state, attempt] = &reply[..] else { return Ok(None) };
        *self.cursor.lock().unwrap_or_else(PoisonError::into_inner) = read(cursor);
        if *entry == redis::Value::Nil {
            return Ok(None);
        }
        let (next, generation) = parse(&read::<String>(state));
        let (entry, id, envelope, attempt) = (read(entry), read(id), read(envelope), read(attempt));
        Ok(Some(Taken { entry, id, envelope, next, generation, attempt }))
    }

    /// What is new, if it comes within `wait`.
    async fn wait(&self, worker: &str, wait: Duration) -> Result<Option<Taken>> {
        let idle = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(self.options.timeout))
                    .set_response_timeout(Some(self.options.timeout + POLL));
                self.bounded(self.client.get_multiplexed_async_connection_with_config(&config)).await?
            }
        };
        // Zero would be for ever.
        let block = wait.as_millis().max(1) as usize;
        let options = StreamReadOptions::default().group(GROUP, worker).count(1).block(block);
        let entry: redis::RedisResult<Option<StreamReadReply>> =
            connection.xread_options(&[QUEUE], &[">"], &options).await;
        let entry = match entry {
            Ok(entry) => entry,
            // It is not put back: the next call connects anew.
            Err(error) if error.is_connection_dropped() => return Ok(None),
            Err(error) => return self.bounded(async { Err(error) }).await,
        };
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        let Some(entry) = entry.and_then(|mut read| read.keys.pop()).and_then(|mut key| key.ids.pop()) else {
            return Ok(None);
        };
        let field = |name| entry.map.get(name).unwrap_or(&redis::Value::Nil);
        let (id, envelope): (String, _) = (read(field("id")), read(field("batch")));
        // A batch that was dead is new in the queue, but begins where it died.
        let (next, generation) = self.known(&id).await?;
        Ok(Some(Taken { entry: entry.id, id, envelope, next, generation, attempt: 1 }))
    }

    /// The next task, and the number of the lease.
    async fn known(&self, id: &str) -> Result<(u32, u32)> {
        let state: Option<String> = self.bounded(self.shared.clone().hget(STATE, id)).await?;
        Ok(parse(&state.unwrap_or_default()))
    }

    /// Runs one of the scripts that begin with the fence.
    async fn held(&self, script: &Script, id: &str, token: &Token, more: &[Arg<'_>]) -> Result<()> {
        let Token::Stream { entry, consumer, next, generation } = token else { return Err(Error::LostLease) };
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
        let idle = self.options.visibility.saturating_sub(after);
        let more = [Arg::from(millis(idle)), Arg::from(u64::from(attempts))];
        self.held(&script::GIVE_BACK, &lease.batch.id, &lease.token, &more).await
    }
}

/// How soon a waiting worker sees what was given back, or whose lease has ended.
const POLL: Duration = Duration::from_millis(250);

#[async_trait]
impl Engine for Redis {
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
                let token = Token::Stream { entry, consumer: worker.to_owned(), next, generation };
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

    async fn list(&self, state: Option<State>, limit: usize) -> Result<Vec<Entry>> {
        self.list_entries(state, limit).await
    }

    async fn show(&self, id: &str) -> Result<Option<Entry>> {
        self.show_entry(id).await
    }

    async fn retry_dead(&self, id: &str) -> Result<bool> {
        self.run(&script::RETRY_DEAD, &[Arg::from(id)]).await
    }

    async fn remove(&self, id: &str) -> Result<bool> {
        self.run(&script::REMOVE, &[Arg::from(id)]).await
    }

    async fn counts(&self) -> Result<Counts> {
        self.count_entries().await
    }

    async fn risks(&self) -> Result<Vec<String>> {
        self.risks_of_settings().await
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A value of a reply, or nothing if it is not what was expected; then the batch can't be read, and is buried.
fn read<T: FromRedisValue + Default>(value: &redis::Value) -> T {
    redis::from_redis_value_ref(value).unwrap_or_default()
}

/// The value in `{epilogue}:state`.
fn parse(state: &str) -> (u32, u32) {
    let (next, generation) = state.split_once(' ').unwrap_or_default();
    (next.parse().unwrap_or_default(), generation.parse().unwrap_or_default())
}
