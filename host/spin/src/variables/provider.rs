//! The providers. A provider is a place from which the host gets the values of variables.

use std::collections::BTreeMap;
use std::env::VarError;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use async_trait::async_trait;

/// A place from which the host gets the values of variables.
pub enum Provider {
    /// Values that are known when the host starts, for example from `--variable`.
    Static(BTreeMap<String, String>),
    /// Environment variables of the host's process.
    Environment(Environment),
    /// A server, which the host asks each time a component reads a variable.
    Server(Arc<dyn Server>),
}

/// A server that has the values of variables.
#[async_trait]
pub trait Server: Send + Sync {
    /// Returns the server's value of a variable. If the server has no value, returns `None`.
    ///
    /// # Errors
    ///
    /// Returns an error if the host cannot get the value, for example because the server does not answer. The error
    /// message contains no secret.
    async fn get(&self, name: &str) -> Result<Option<String>, String>;
}

/// A provider that reads values from environment variables. For the variable `name`, the provider reads the environment
/// variable `PREFIX_NAME`: the prefix, an underscore, and the variable's name in upper case.
pub struct Environment {
    prefix: String,
    /// The names and values from a `.env` file. The provider uses a value of the file only if the process has no
    /// environment variable with this name.
    dotenv: BTreeMap<String, String>,
}

impl Environment {
    /// The default prefix of the environment variables, as in Spin.
    pub const DEFAULT_PREFIX: &str = "SPIN_VARIABLE";

    /// Creates a provider for environment variables with this prefix. `dotenv` contains the names and values from a
    /// `.env` file. The provider uses a value of the file only if the process has no environment variable with this
    /// name.
    pub fn new(prefix: impl Into<String>, dotenv: BTreeMap<String, String>) -> Self {
        Self { prefix: prefix.into(), dotenv }
    }
}

impl Provider {
    /// Returns the provider's value of a variable. If the provider has no value, returns `None`.
    ///
    /// # Errors
    ///
    /// Returns an error if the provider's value is not UTF-8, or if the provider's server does not answer. The error
    /// message does not contain the value.
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

/// Reads a `.env` file. The file has lines `NAME=VALUE`, and may have quotes, comments and substitutions. If the file
/// does not exist, the result is empty.
///
/// # Errors
///
/// Returns an error if the host cannot read the file, or if a line does not have the form `NAME=VALUE`. The error
/// message names the file, but does not show the line, because the line may contain a secret.
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
