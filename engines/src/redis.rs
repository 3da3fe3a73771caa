//! Redis Streams with one consumer group: for many machines.
//!
//! The server knows who holds an entry, since when, and how often it was delivered; it hands out what is new, and what
//! nobody has confirmed in time. Each change of a leased batch is one script, which acts only if the lease still stands.
//!
//! | key | |
//! |---|---|
//! | `{epilogue}:queue` | the stream; its group `workers` |
//! | `{epilogue}:ids` | from a batch's id to where it is: `ready ENTRY` or `dead ENTRY` |
//! | `{epilogue}:next` | from a batch's id to its next task, if that is not the first |
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
const NEXT: &str = "{epilogue}:next";
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
        let (cursor, entry, id, envelope, next, attempt): (String, Option<String>, _, _, _, _) = {
            let mut reply: Vec<redis::Value> = self.run(&script::LEASE, &args).await?;
            // Lua ends a list at the first nil.
            reply.resize(6, redis::Value::Nil);
            self.bounded(async { Ok(redis::from_redis_value(redis::Value::Array(reply))?) }).await?
        };
        *self.cursor.lock().unwrap_or_else(PoisonError::into_inner) = cursor;
        let (id, envelope): (Option<String>, Option<Vec<u8>>) = (id, envelope);
        let (next, attempt): (Option<u32>, Option<u32>) = (next, attempt);
        Ok(entry.map(|entry| Taken {
            entry,
            id: id.unwrap_or_default(),
            envelope: envelope.unwrap_or_default(),
            next: next.unwrap_or_default(),
            attempt: attempt.unwrap_or_default(),
        }))
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
        let read: redis::RedisResult<Option<StreamReadReply>> =
            connection.xread_options(&[QUEUE], &[">"], &options).await;
        let read = match read {
            Ok(read) => read,
            // It is not put back: the next call connects anew.
            Err(error) if error.is_connection_dropped() => return Ok(None),
            Err(error) => return self.bounded(async { Err(error) }).await,
        };
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        let Some(mut entry) = read.and_then(|mut read| read.keys.pop()).and_then(|mut key| key.ids.pop()) else {
            return Ok(None);
        };
        let mut bytes = |field| entry.map.remove(field).and_then(|value| Vec::from_redis_value(value).ok());
        let id = String::from_utf8(bytes("id").unwrap_or_default()).unwrap_or_default();
        let envelope = bytes("batch").unwrap_or_default();
        let entry = entry.id;
        // A batch that was dead is new in the queue, but begins where it died.
        let next = self.bounded(self.shared.clone().hget::<_, _, Option<u32>>(NEXT, &id)).await?.unwrap_or_default();
        Ok(Some(Taken { entry, id, envelope, next, attempt: 1 }))
    }

    /// Runs one of the scripts that begin with the fence.
    async fn held(&self, script: &Script, id: &str, token: &Token, more: &[Arg<'_>]) -> Result<()> {
        let Token::Stream { entry, consumer, next, attempt } = token else { return Err(Error::LostLease) };
        let mut args = vec![
            Arg::from(entry.as_str()),
            Arg::from(consumer.as_str()),
            Arg::from(u64::from(*attempt)),
            Arg::from(id),
            Arg::from(u64::from(*next)),
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
            if let Some(Taken { entry, id, envelope, next, attempt }) = taken {
                let token = Token::Stream { entry, consumer: worker.to_owned(), next, attempt };
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
        if let Token::Stream { next: known, attempt, .. } = &mut lease.token {
            (*known, *attempt) = (next, 1);
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
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
