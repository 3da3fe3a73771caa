//! The connections to a Redis server. This file decides when to replace the connections, and adds advice for operators
//! to error messages.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection};
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncCommands as _, AsyncConnectionConfig, Client, ErrorKind, IntoConnectionInfo as _, RedisError, RedisResult,
    ServerErrorKind,
};
use tokio::time::{self, Instant};

use super::{GROUP, POLL, QUEUE};
use crate::{Error, Result};

/// The shortest time between two replacements of the connections. After a failover, the new primary may need a moment
/// until it accepts calls.
const AGAIN: Duration = Duration::from_millis(200);

/// The server's address, and the connections to the server.
pub(super) struct Connections {
    client: Client,
    timeout: Duration,
    open: Mutex<Open>,
}

/// The open connections, which all lead to the same server.
struct Open {
    /// The number of times that the engine has replaced the connections.
    version: u64,
    since: Option<Instant>,
    /// The connection that all calls share, except the calls that wait for a new batch.
    shared: ConnectionManager,
    /// Idle connections for the calls that wait for a new batch. A call that waits blocks its connection, so the call
    /// cannot share the connection.
    waiting: Vec<MultiplexedConnection>,
}

/// A connection that one call uses while it waits for a new batch.
pub(super) struct Waiting {
    pub(super) connection: MultiplexedConnection,
    version: u64,
}

impl Connections {
    /// Prepares the connections. The first call connects to the server.
    ///
    /// # Errors
    /// Returns [`Error::Config`] if the URL is not valid.
    pub(super) fn new(url: &str, timeout: Duration) -> Result<Self> {
        let unusable = |error: RedisError| {
            let form = "redis://[user:password@]host[:port][/db]";
            Error::Config(format!("the URL of the task engine is not of the form {form}: {error}"))
        };
        // Without these limits, TCP itself would wait for minutes if the network is cut.
        let keepalive = TcpKeepalive::new().with_time(timeout).with_interval(timeout);
        let tcp = TcpSettings::default().set_keepalive(keepalive).set_user_timeout(timeout);
        let client = url.into_connection_info().map(|info| info.set_tcp_settings(tcp)).and_then(Client::open);
        let client = client.map_err(unusable)?;
        let shared = shared(&client, timeout).map_err(unusable)?;
        let open = Open { version: 0, since: None, shared, waiting: Vec::new() };
        Ok(Self { client, timeout, open: open.into() })
    }

    pub(super) fn address(&self) -> &redis::ConnectionAddr {
        self.client.get_connection_info().addr()
    }

    /// Runs `call` over the shared connection to the server. If the connection broke or led to the wrong server, for
    /// example to a former primary, runs `call` once more over a new connection. If the server has no consumer group,
    /// because the server is new, creates the group and runs `call` once more.
    pub(super) async fn call<T, F>(&self, call: impl Fn(ConnectionManager) -> F) -> Result<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let calls = async {
            let (version, connection) = self.shared();
            match call(connection.clone()).await {
                Err(error) if error.to_string().contains("NOGROUP") => {
                    create_group(connection.clone()).await?;
                    call(connection).await
                }
                Err(error) if error.is_connection_dropped() || self.leave(version, &error) => {
                    let (version, connection) = self.shared();
                    let again = call(connection).await;
                    again.inspect_err(|error| _ = self.leave(version, error))
                }
                result => result,
            }
        };
        self.bounded(calls).await
    }

    /// Returns a connection for one call that waits for a new batch.
    pub(super) async fn waiting(&self) -> Result<Waiting> {
        let (version, idle) = {
            let mut open = self.open();
            (open.version, open.waiting.pop())
        };
        let connection = match idle {
            Some(connection) => connection,
            None => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(self.timeout))
                    .set_response_timeout(Some(self.timeout + POLL));
                self.bounded(self.client.get_multiplexed_async_connection_with_config(&config)).await?
            }
        };
        Ok(Waiting { connection, version })
    }

    /// Takes back a connection after a call that waited for a new batch, so that a later call can use the connection.
    /// If the call failed but may succeed over another connection, returns `None` instead of an error.
    pub(super) fn put_back<T>(&self, waiting: Waiting, result: RedisResult<T>) -> Result<Option<T>> {
        let Waiting { connection, version } = waiting;
        match result {
            Ok(result) => {
                let mut open = self.open();
                if open.version == version {
                    open.waiting.push(connection);
                }
                Ok(Some(result))
            }
            Err(error) if error.is_connection_dropped() || self.leave(version, &error) => Ok(None),
            Err(error) => Err(explain(error)),
        }
    }

    pub(super) async fn bounded<T>(&self, call: impl Future<Output = RedisResult<T>>) -> Result<T> {
        match time::timeout(self.timeout, call).await {
            Ok(result) => result.map_err(explain),
            Err(_) => Err(Error::Unavailable(format!("no answer from Redis within {:?}", self.timeout))),
        }
    }

    fn shared(&self) -> (u64, ConnectionManager) {
        let open = self.open();
        (open.version, open.shared.clone())
    }

    /// If `error` means that the connections lead to the wrong server, for example to a former primary, replaces all
    /// connections that have this `version`. A new connection looks up the server's host name again, because the name
    /// may lead to another server now. Returns true if the caller should repeat the call that returned `error`.
    fn leave(&self, version: u64, error: &RedisError) -> bool {
        if !leads_astray(error) {
            return false;
        }
        let mut open = self.open();
        if open.version != version {
            return true;
        }
        if open.since.is_some_and(|since| since.elapsed() < AGAIN) {
            return false;
        }
        // The client has already parsed this URL, so this call does not fail.
        let Ok(shared) = shared(&self.client, self.timeout) else { return false };
        *open = Open { version: version + 1, since: Some(Instant::now()), shared, waiting: Vec::new() };
        true
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shared(client: &Client, timeout: Duration) -> RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_number_of_retries(0)
        .set_connection_timeout(Some(timeout))
        .set_response_timeout(Some(timeout));
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}

pub(super) async fn create_group(mut connection: ConnectionManager) -> RedisResult<()> {
    match connection.xgroup_create_mkstream(QUEUE, GROUP, "0").await {
        Err(error) if error.code() == Some("BUSYGROUP") => Ok(()),
        created => created,
    }
}

/// Returns true if, after this error, the same call may succeed over a new connection. For example, the present server
/// has become a replica, or is still loading its data. The function also returns true if the setup of the connection
/// has failed, because a [`ConnectionManager`] does not repeat a failed setup.
fn leads_astray(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, Moved, ReadOnly, ResponseError, TryAgain};
    match error.kind() {
        ErrorKind::Server(ReadOnly | BusyLoading | MasterDown | ClusterDown | Moved | TryAgain) => true,
        ErrorKind::Server(ResponseError) => refused_database(error),
        ErrorKind::Parse | ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig => true,
        // If a server becomes a replica, the server answers UNBLOCKED to a waiting call. If a primary has lost its
        // replicas, the primary answers NOREPLICAS.
        _ => matches!(error.code(), Some("UNBLOCKED" | "NOREPLICAS" | "NOAUTH" | "WRONGPASS")),
    }
}

fn refused_database(error: &RedisError) -> bool {
    error.to_string().contains("refused to switch database")
}

/// Converts an error of the Redis client. An operator's mistake becomes [`Error::Config`]. A failure that may be
/// temporary becomes [`Error::Unavailable`].
fn explain(error: RedisError) -> Error {
    let text = error.to_string();
    let wrong_protocol = || {
        let usual = "Redis' port is usually 6379, and rediss:// is for TLS";
        Error::Config(format!(
            "the server there does not speak Redis' protocol: name another port or scheme ({usual}): {text}"
        ))
    };
    match error.kind() {
        ErrorKind::Parse => wrong_protocol(),
        ErrorKind::Io if is_invalid_data(&error) && text.contains("certificate") => {
            Error::Config(format!("Redis' certificate is not accepted: {text}"))
        }
        ErrorKind::Io if is_invalid_data(&error) => wrong_protocol(),
        // A temporary failure of the lookup (EAI_AGAIN) is not an operator's mistake.
        ErrorKind::Io if text.contains("lookup") && !text.contains("Temporary failure") => {
            Error::Config(format!("Redis' host is not known: correct its name: {text}"))
        }
        ErrorKind::Server(ServerErrorKind::NoPerm) => Error::Config(format!(
            "Redis' user has too few permissions: allow it all commands on the keys `{{epilogue}}:*`: {text}"
        )),
        _ if text.contains("DB index is out of range") => Error::Config(format!(
            "Redis has no database of this number: use a number below the setting `databases` of Redis: {text}"
        )),
        _ if error.kind() == ErrorKind::AuthenticationFailed || text.contains("WRONGPASS") => Error::Config(format!(
            "Redis refuses the user or the password: correct them in the URL, as in redis://user:password@host: {text}"
        )),
        _ if error.code() == Some("NOAUTH") || text.contains("Authentication required") => {
            Error::Config(format!("Redis needs a password: add it to the URL, as in redis://:password@host: {text}"))
        }
        _ => Error::Unavailable(format!("Redis: {text}")),
    }
}

type Source = Arc<dyn std::error::Error + Send + Sync>;

/// Returns true if an error means invalid data, for example in a TLS handshake with a server that does not use TLS.
fn is_invalid_data(error: &RedisError) -> bool {
    // The client keeps the I/O error behind an `Arc`, and this `Arc` is the source of the client's error.
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<Source>());
    let source = source.and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|error| error.kind() == io::ErrorKind::InvalidData)
}
