//! Where the values of variables come from.

use std::collections::BTreeMap;
use std::env::VarError;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use async_trait::async_trait;

/// A source of the values of variables.
pub enum Provider {
    /// Values that are known when the host starts, for example from `--variable`.
    Static(BTreeMap<String, String>),
    /// Environment variables of the host's process.
    Environment(Environment),
    /// A server. The provider asks it each time a variable is needed.
    Server(Arc<dyn Server>),
}

/// A server that has the values of variables.
#[async_trait]
pub trait Server: Send + Sync {
    /// The value that the server has for a variable, if it has one.
    ///
    /// # Errors
    ///
    /// Returns an error if the server cannot be asked. The message contains no secret.
    async fn get(&self, name: &str) -> Result<Option<String>, String>;
}

/// Values from environment variables. The value of the variable `name` is in the environment variable `PREFIX_NAME`, in
/// upper case.
pub struct Environment {
    prefix: String,
    /// What a `.env` file sets. The process's own environment takes precedence.
    dotenv: BTreeMap<String, String>,
}

impl Environment {
    /// The prefix of Spin's variables in the environment.
    pub const DEFAULT_PREFIX: &str = "SPIN_VARIABLE";

    /// Reads environment variables with this prefix. `dotenv` contains the values of a `.env` file. The environment
    /// takes precedence over these values.
    pub fn new(prefix: impl Into<String>, dotenv: BTreeMap<String, String>) -> Self {
        Self { prefix: prefix.into(), dotenv }
    }
}

impl Provider {
    /// The value that this provider has for a variable, if it has one.
    ///
    /// # Errors
    ///
    /// Returns an error if the provider has a value that cannot be used, or is a server that cannot be asked. The message
    /// does not contain the value.
    pub(crate) async fn get(&self, name: &str) -> Result<Option<String>, String> {
        match self {
            Self::Server(server) => server.get(name).await,
            Self::Static(values) => Ok(values.get(name).cloned()),
            Self::Environment(Environment { prefix, dotenv }) => {
                let key = format!("{prefix}_{}", name.to_ascii_uppercase());
                match std::env::var(&key) {
                    Ok(value) => Ok(Some(value)),
                    Err(VarError::NotPresent) => Ok(dotenv.get(&key).cloned()),
                    Err(VarError::NotUnicode(_)) => Err(format!("the environment variable {key} is not UTF-8")),
                }
            }
        }
    }
}

/// Reads a `.env` file: lines `NAME=VALUE`, with quotes, comments and substitutions as usual. If the file does not
/// exist, the result is empty.
///
/// # Errors
///
/// Returns an error if the file cannot be read, or if a line has another form. The message names the file, but does not
/// show the line, because the line may contain a secret.
pub fn read_dotenv(file: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let cannot = || format!("cannot read {}", file.display());
    match file.try_exists() {
        Ok(true) => {}
        Ok(false) => return Ok(BTreeMap::new()),
        Err(error) => return Err(error).with_context(cannot),
    }
    let lines = match dotenvy::from_path_iter(file) {
        Ok(lines) => lines,
        Err(dotenvy::Error::Io(error)) => return Err(error).with_context(cannot),
        Err(_) => bail!("{} is no file of lines NAME=VALUE", file.display()),
    };
    let line = |line: dotenvy::Result<(String, String)>| match line {
        Ok(line) => Ok(line),
        Err(dotenvy::Error::Io(error)) => Err(error).with_context(cannot),
        Err(_) => bail!("{} has a line that is not NAME=VALUE", file.display()),
    };
    lines.map(line).collect()
}
