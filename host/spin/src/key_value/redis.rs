//! A key-value store in Redis. In Redis, the store uses the component's keys without a change. The store keeps a number
//! as decimal text, as Spin does.
//!
//! The store has a thread of its own, which makes all calls to the server over one connection. If a caller no longer
//! waits for a call, the thread still finishes the call, so the connection stays usable.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use epilogue_engines::{IoThread, address};
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands as _, AsyncConnectionConfig, Client, RedisError, RedisResult, Script};
use tokio::time;

use super::stores::Open;
use super::{Error, Page, Result, Size, Store, Version};

/// The timeout of one call, including the time to connect.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The `COUNT` of the Redis command `SCAN`: the approximate number of keys that the server examines for one page.
const PAGE: usize = 1_000;

/// The error codes with which Redis refuses a single call, for example because the value of a key has the wrong type.
/// If Redis returns another error code, the host treats the server as not available.
const OF_VALUES: [&str; 2] = ["ERR", "WRONGTYPE"];

/// The Lua script that sets the value of a key if the SHA-1 digest of the current value is `ARGV[1]`. If `ARGV[1]` is
/// empty, the script sets the value only if the key has no value.
static SWAP: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local now = redis.call('GET', KEYS[1])
         local version = now and redis.sha1hex(now) or ''
         if version ~= ARGV[1] then return 0 end
         redis.call('SET', KEYS[1], ARGV[2])
         return 1",
    )
});

/// A Redis server. The host connects to the server at the first call.
pub(super) struct Redis(Arc<Server>);

struct Server {
    client: Client,
    /// The server's address, without a password.
    address: String,
    io: IoThread,
    connection: Mutex<Option<MultiplexedConnection>>,
    /// The lock that a call holds while the call connects to the server. If another call needs the connection at the
    /// same time, the other call waits for the lock, and then uses the connection of the first call.
    connecting: tokio::sync::Mutex<()>,
}

impl Redis {
    /// Creates a client for the Redis server at this URL, but does not connect yet.
    pub(super) fn new(url: &str) -> anyhow::Result<Self> {
        // The message omits the error of the Redis client, because this error could show the URL and its password.
        let client =
            Client::open(url).ok().context("its url is not of the form redis://[user:password@]host[:port][/db]")?;
        let io = IoThread::start("epilogue-redis").context("no thread could be started")?;
        let (connection, connecting) = Default::default();
        Ok(Self(Arc::new(Server { client, address: address(url), io, connection, connecting })))
    }

    /// Makes a call on the thread that talks to the server. If the call takes longer than [`TIMEOUT`], returns an
    /// error.
    async fn call<T, F>(&self, call: impl FnOnce(MultiplexedConnection) -> F + Send + 'static) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = RedisResult<T>> + Send + 'static,
    {
        let server = self.0.clone();
        let called = async move {
            let answer = async { call(server.connection().await?).await };
            match time::timeout(TIMEOUT, answer).await {
                Ok(answer) => answer.map_err(|error| server.explain(&error)),
                Err(_) => Err(server.lost(&format!("no answer within {TIMEOUT:?}"))),
            }
        };
        self.0.io.call(called).await
    }
}

impl Server {
    /// Returns the open connection, or opens a new connection.
    async fn connection(&self) -> RedisResult<MultiplexedConnection> {
        if let Some(connection) = self.known() {
            return Ok(connection);
        }
        let _alone = self.connecting.lock().await;
        if let Some(connection) = self.known() {
            return Ok(connection);
        }
        // The connection needs no timeout, because each call has a timeout.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        *self.open() = Some(connection.clone());
        Ok(connection)
    }

    /// Converts an error from the Redis client to an error of the store. If the error did not come from the server,
    /// closes the connection, so that the next call makes a new connection.
    fn explain(&self, error: &RedisError) -> Error {
        match error.kind() {
            redis::ErrorKind::Server(_) if error.code().is_some_and(|code| OF_VALUES.contains(&code)) => {
                Error::Other(error.detail().unwrap_or("the value has another type").to_owned())
            }
            redis::ErrorKind::Server(_) => Error::Unavailable(format!("{}: {error}", self.address)),
            _ => self.lost(&error.to_string()),
        }
    }

    fn lost(&self, reason: &str) -> Error {
        *self.open() = None;
        Error::Unavailable(format!("{}: {reason}", self.address))
    }

    fn known(&self) -> Option<MultiplexedConnection> {
        self.open().clone()
    }

    fn open(&self) -> MutexGuard<'_, Option<MultiplexedConnection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open for Redis {
    fn store(self: Arc<Self>, _: &str) -> Arc<dyn Store> {
        self
    }
}

#[async_trait]
impl Store for Redis {
    async fn get(&self, key: String) -> Result<Option<Vec<u8>>> {
        let value: Option<Vec<u8>> = self.call(|mut server| async move { server.get(key).await }).await?;
        Size::default().add(value.as_ref().map_or(0, Vec::len))?;
        Ok(value)
    }

    async fn exists(&self, key: String) -> Result<bool> {
        self.call(|mut server| async move { server.exists(key).await }).await
    }

    async fn keys(&self, from: Option<String>) -> Result<Page> {
        let cursor = from.unwrap_or_else(|| "0".to_owned());
        let (next, keys): (String, Vec<String>) = self
            .call(|mut server| async move {
                redis::cmd("SCAN").arg(cursor).arg("COUNT").arg(PAGE).query_async(&mut server).await
            })
            .await?;
        Ok(Page { keys, next: Some(next).filter(|next| next != "0") })
    }

    async fn get_many(&self, keys: Vec<String>) -> Result<Vec<(String, Option<Vec<u8>>)>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let asked = keys.clone();
        let values: Vec<Option<Vec<u8>>> = self.call(|mut server| async move { server.mget(asked).await }).await?;
        let mut size = Size::default();
        for (key, value) in keys.iter().zip(&values) {
            size.add(key.len() + value.as_ref().map_or(0, Vec::len))?;
        }
        Ok(keys.into_iter().zip(values).collect())
    }

    async fn set_many(&self, values: Vec<(String, Vec<u8>)>) -> Result<()> {
        if values.is_empty() {
            return Ok(());
        }
        self.call(|mut server| async move { server.mset(&values).await }).await
    }

    async fn delete_many(&self, keys: Vec<String>) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        self.call(|mut server| async move { server.del(keys).await }).await
    }

    async fn increment(&self, key: String, delta: i64) -> Result<i64> {
        self.call(move |mut server| async move { server.incr(key, delta).await }).await
    }

    async fn swap(&self, key: String, Version(version): Version, value: Vec<u8>) -> Result<bool> {
        self.call(|mut server| async move {
            let mut script = SWAP.prepare_invoke();
            script.key(key).arg(version.unwrap_or_default()).arg(value).invoke_async(&mut server).await
        })
        .await
    }
}
