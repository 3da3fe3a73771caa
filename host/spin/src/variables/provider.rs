//! Where the values of variables come from.

use std::collections::BTreeMap;
use std::env::VarError;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, bail};

/// A source of values.
pub enum Provider {
    /// Values that are known at the start, such as those of `--variable`.
    Static(BTreeMap<String, String>),
    /// Environment variables of the host's process.
    Environment(Environment),
}

/// Values from the environment variables `PREFIX_NAME`, with the name in upper case.
pub struct Environment {
    prefix: String,
    /// What a `.env` file sets. The process's own environment takes precedence.
    dotenv: BTreeMap<String, String>,
}

impl Environment {
    /// The prefix of Spin's variables in the environment.
    pub const DEFAULT_PREFIX: &str = "SPIN_VARIABLE";

    /// Reads variables with this prefix, and with those of a `.env` file.
    pub fn new(prefix: impl Into<String>, dotenv: BTreeMap<String, String>) -> Self {
        Self { prefix: prefix.into(), dotenv }
    }
}

impl Provider {
    /// The value that this provider has for a variable, if it has one.
    ///
    /// # Errors
    ///
    /// If the provider has a value that cannot be used. The message does not contain the value.
    pub(crate) fn get(&self, name: &str) -> Result<Option<String>, String> {
        match self {
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

/// Reads a `.env` file: lines `NAME=VALUE`, empty lines, and lines that begin with `#`. A value may be in single or double
/// quotes, and the line may begin with `export`. There are none if the file does not exist.
///
/// # Errors
///
/// If the file cannot be read, or if a line is something else. The message names the file and the line, not the value.
pub fn read_dotenv(file: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    let mut values = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=') else {
            bail!("{}:{} is not NAME=VALUE", file.display(), number + 1);
        };
        let value = value.trim();
        let quoted = |quote| value.strip_prefix(quote).and_then(|value| value.strip_suffix(quote));
        let plain = || value.split(" #").next().unwrap_or(value).trim_end();
        let value = quoted('"').or_else(|| quoted('\'')).unwrap_or_else(plain);
        values.insert(name.trim().to_owned(), value.to_owned());
    }
    Ok(values)
}
