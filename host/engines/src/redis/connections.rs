//! The connections to a server: when to replace them, and what an error says about them.

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

/// The shortest time before new connections are given up again, because their server may need a moment.
const AGAIN: Duration = Duration::from_millis(200);

/// Where the server is, and the connections to it.
pub(super) struct Connections {
    client: Client,
    timeout: Duration,
    open: Mutex<Open>,
}

/// Connections that lead to one server.
struct Open {
    /// How often the connections were made again.
    version: u64,
    since: Option<Instant>,
    /// The shared connection for all calls that do not wait.
    shared: ConnectionManager,
    /// Idle connections for calls that wait. Each such call uses its own connection.
    waiting: Vec<MultiplexedConnection>,
}

/// A connection for a call that waits.
pub(super) struct Waiting {
    pub(super) connection: MultiplexedConnection,
    version: u64,
}

impl Connections {
    /// Prepares the connections. The first call connects to the server.
    ///
    /// # Errors
    /// Returns [`Error::Config`] for a URL that cannot be used.
    pub(super) fn new(url: &str, timeout: Duration) -> Result<Self> {
        let unusable = |error: RedisError| {
            let form = "redis://[user:password@]host[:port][/db]";
            Error::Config(format!("the URL of the task engine is not of the form {form}: {error}"))
        };
        // If the network is cut, TCP itself would wait for minutes.
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

    /// Makes a call, and repeats it once if that may help: over another connection, or after creating the consumer
    /// group in a new server.
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

    /// A connection for one call that waits.
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

    /// Takes back the connection of a call that waited, if the connection can be used again. Returns none instead of an
    /// error if the call may succeed over another connection.
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

    /// Drops all connections of a version if this error means that they lead to the wrong server. The next call then
    /// looks up the name again. Returns true if the caller should repeat the call.
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
        // It has parsed the same URL before.
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

/// Whether another connection may lead to a better server. This server is no longer a primary, has no primary, is not
/// ready, or its connection was never set up, which a [`ConnectionManager`] does not try again.
fn leads_astray(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, Moved, ReadOnly, ResponseError, TryAgain};
    match error.kind() {
        ErrorKind::Server(ReadOnly | BusyLoading | MasterDown | ClusterDown | Moved | TryAgain) => true,
        ErrorKind::Server(ResponseError) => refused_database(error),
        ErrorKind::Parse | ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig => true,
        // UNBLOCKED: a call that waited, when its server became a replica. NOREPLICAS: a primary that was cut off from all others.
        _ => matches!(error.code(), Some("UNBLOCKED" | "NOREPLICAS" | "NOAUTH" | "WRONGPASS")),
    }
}

fn refused_database(error: &RedisError) -> bool {
    error.to_string().contains("refused to switch database")
}

/// Converts an error of the client. The result distinguishes an operator's mistake from a failure that may pass.
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
        // Not where the lookup failed for now (EAI_AGAIN).
        ErrorKind::Io if text.contains("lookup") && !text.contains("Temporary failure") => {
            Error::Config(format!("Redis' host is not known: correct its name: {text}"))
        }
        ErrorKind::Server(ServerErrorKind::NoPerm) => Error::Config(format!(
            "Redis' user may not do this: allow it all commands on the keys `{{epilogue}}:*`: {text}"
        )),
        _ if text.contains("DB index is out of range") => Error::Config(format!(
            "Redis has no database of this number: use a number below the setting `databases` of Redis: {text}"
        )),
        _ if error.kind() == ErrorKind::AuthenticationFailed || text.contains("WRONGPASS") => Error::Config(format!(
            "Redis knows no such user and password: put the right ones into the URL, redis://user:password@host: {text}"
        )),
        _ if error.code() == Some("NOAUTH") || text.contains("Authentication required") => {
            Error::Config(format!("Redis wants a password: put it into the URL, redis://:password@host: {text}"))
        }
        _ => Error::Unavailable(format!("Redis: {text}")),
    }
}

type Source = Arc<dyn std::error::Error + Send + Sync>;

/// Whether an error means invalid data, for example in a TLS handshake with a server that does not speak TLS.
fn is_invalid_data(error: &RedisError) -> bool {
    // The source is the client's pointer to it.
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<Source>());
    let source = source.and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|error| error.kind() == io::ErrorKind::InvalidData)
}
