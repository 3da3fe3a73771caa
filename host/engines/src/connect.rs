//! Opens an engine from its URL.

use std::sync::Arc;
use std::time::Duration;

use crate::{Error, Memory, Nats, Redis, Result, Sqlite, TaskEngine};

/// The options that all task engines have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The time after which a lease ends, unless the worker extends the lease. Default: 30 s.
    pub visibility: Duration,
    /// The time limit of each call to the engine. Default: 5 s.
    pub timeout: Duration,
    /// Says whether this process is an operator's command, which only inspects or changes stored batches. If true, the
    /// engine creates no database file, and does not change the visibility timeout that workers have set on a NATS
    /// server. Default: false.
    pub operator: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { visibility: Duration::from_secs(30), timeout: Duration::from_secs(5), operator: false }
    }
}

/// Opens the engine that `url` names. Call this function within a tokio runtime.
///
/// | URL | |
/// |---|---|
/// | `memory:` | for tests; the batches are lost when the process ends |
/// | `sqlite:PATH`, `sqlite:PATH?synchronous=normal` | one file on a local disk; the default is `synchronous=full` |
/// | `redis://[user:password@]host[:port][/db]`, `rediss://` | Redis 7 or newer; all keys begin with `{epilogue}` |
/// | `nats://[user:password@]host[:port]`, `nats://token@host[:port]`, `tls://` | NATS 2.9 or newer with JetStream |
///
/// For `sqlite:`, this function opens the file. For the URL of a server, this function does not connect. The first call
/// to the engine connects to the server. So a host can start while the server is down.
///
/// # Errors
/// Returns [`Error::Config`] if the URL is not valid. The error message does not contain the URL, because the URL may
/// contain a password. With `sqlite:`, the function may also return [`Error::Unavailable`], for example if the file
/// cannot be opened.
pub fn connect(url: &str, options: Options) -> Result<Arc<dyn TaskEngine>> {
    let scheme = url.split_once(':').map(|(scheme, _)| scheme);
    Ok(match scheme {
        Some("memory") => Arc::new(Memory::new(options)),
        Some("sqlite") => Arc::new(Sqlite::open(url, options)?),
        Some("redis" | "rediss") => Arc::new(Redis::new(url, options)?),
        Some("nats" | "tls") => Arc::new(Nats::new(url, options)?),
        Some(other) if other.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            return Err(unsupported(&format!("the scheme '{other}:'")));
        }
        _ => return Err(unsupported("a URL without a scheme")),
    })
}

/// Returns an engine's address that is safe to show in messages. The address is `url` without user, password and
/// options. If `url` has an unknown form, the address is an empty text.
///
/// ```
/// use epilogue_engines::address;
/// assert_eq!(address("redis://user:secret@example.org:6380/2?protocol=resp3"), "redis://example.org:6380/2");
/// assert_eq!(address("sqlite:tasks.db?synchronous=normal"), "sqlite:tasks.db");
/// ```
pub fn address(url: &str) -> String {
    let plain = url.split('?').next().unwrap_or_default();
    match plain.split_once("://") {
        // A password in the URL may contain an `@` that is not encoded, so the host begins after the last `@`.
        Some((scheme, rest)) => format!("{scheme}://{}", rest.rsplit('@').next().unwrap_or_default()),
        None if plain.starts_with("sqlite:") || plain.starts_with("memory:") => plain.to_owned(),
        None => String::new(),
    }
}

fn unsupported(what: &str) -> Error {
    let supported = "use memory:, sqlite:PATH, redis://host, rediss://host, nats://host or tls://host";
    Error::Config(format!("{what} names no task engine: {supported}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_unknown_scheme_is_named_with_what_is_supported_and_without_the_password() {
        for (url, named) in [
            ("amqp://guest:secret@localhost", "the scheme 'amqp:' names no task engine: use memory:"),
            ("secret", "a URL without a scheme names no task engine"),
            ("user@secret:1", "a URL without a scheme"),
            ("redis://:secret@", "redis://"),
            ("nats://:secret@:x", "nats://"),
            ("sqlite:", "sqlite:PATH"),
            ("sqlite:/tmp/x?synchronous=off", "synchronous"),
        ] {
            let error = connect(url, Options::default()).unwrap_err();
            assert!(matches!(error, Error::Config(_)), "{url}: {error:?}");
            let text = error.to_string();
            assert!(text.contains(named), "{url}: {text}");
            assert!(!text.contains("secret"), "{text}");
        }
    }
}
