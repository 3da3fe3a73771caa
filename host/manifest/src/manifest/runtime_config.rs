//! Reads Spin's runtime configuration: a file that the operator names with `--runtime-config-file`. The file says where
//! variables get their values, and where key-value stores keep their data.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use toml::{Spanned, de::DeValue};

use super::reader::{Document, Entry, Section};

/// The tables of Spin's runtime configuration that this host ignores with a warning.
const WITHOUT_EFFECT: [&str; 10] = [
    "llm_compute",
    "log_dir",
    "outbound_http",
    "outbound_mqtt",
    "outbound_mysql",
    "outbound_networking",
    "outbound_pg",
    "outbound_redis",
    "client_tls",
    "sqlite_database",
];

/// A runtime configuration. This type does not implement `Debug`, because the configuration's values and URLs may be
/// secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RuntimeConfig {
    /// The folder in which the key-value store `default` keeps its data. If the file does not name a folder, the value
    /// is `None`: the default folder is `.spin`, beside the manifest. If the path is empty, the store keeps its data in
    /// memory.
    pub state_dir: Option<PathBuf>,
    /// The providers of variables. If several providers have a value for a variable, the first of these providers wins.
    pub variables_providers: Vec<VariablesProvider>,
    /// The key-value stores of the runtime configuration, by their labels.
    pub key_value_stores: BTreeMap<String, KeyValueStore>,
    /// Warnings about the runtime configuration for the operator.
    pub warnings: Vec<String>,
}

/// A provider: a place from which the host gets the values of variables.
#[derive(Clone, PartialEq, Eq)]
pub enum VariablesProvider {
    /// The configuration file itself contains the values.
    Static(BTreeMap<String, String>),
    /// The host's environment variables contain the values of the application's variables.
    Environment {
        /// The prefix of the names of the environment variables. The default prefix is `SPIN_VARIABLE`.
        prefix: Option<String>,
        /// A file in the `.env` format, whose lines the host reads like environment variables.
        dotenv: Option<PathBuf>,
    },
    /// Secrets in HashiCorp Vault contain the values. Vault must use version 2 of its key-value secrets engine.
    Vault {
        /// The address of the Vault server.
        url: String,
        /// The token with which the host authenticates to Vault.
        token: String,
        /// The path of Vault's secrets engine.
        mount: String,
        /// The part of a secret's path before the variable's name.
        prefix: Option<String>,
    },
}

/// The place where a key-value store keeps its data.
#[derive(Clone, PartialEq, Eq)]
pub enum KeyValueStore {
    /// A SQLite file. If there is no path, the store keeps its data in memory.
    Sqlite(Option<PathBuf>),
    /// A Redis server, at this URL.
    Redis(String),
}

impl RuntimeConfig {
    /// Reads the file of a runtime configuration. Relative paths in the file start at the file's folder.
    ///
    /// # Errors
    ///
    /// Returns an error if the host cannot read the file, or if the file has a mistake. The error message names the
    /// file, and the line of a mistake.
    pub fn load(file: &Path) -> anyhow::Result<Self> {
        let cannot = || format!("cannot read the runtime configuration {}", file.display());
        let text = std::fs::read_to_string(file).with_context(cannot)?;
        Self::parse(file, &text)
    }

    /// Reads a runtime configuration from its text. Messages show `file` as the file's path. Relative paths in the text
    /// start at the folder of `file`.
    ///
    /// # Errors
    ///
    /// Returns an error if the text has a mistake. The error message names the file and the line of the mistake.
    pub fn parse(file: &Path, text: &str) -> anyhow::Result<Self> {
        let document = Document::new(file, text);
        let folder = file.parent().unwrap_or(Path::new(""));
        let mut root = document.root("the runtime configuration")?;
        let mut config = Self::default();
        let state_dir: Option<PathBuf> = root.take("state_dir")?;
        // An empty path stays empty.
        let below = |path: PathBuf| if path.as_os_str().is_empty() { path } else { folder.join(path) };
        config.state_dir = state_dir.map(below);
        for key in ["variables_provider", "config_provider"] {
            for table in tables(&mut root, key)? {
                config.variables_providers.push(variables_provider(table, folder, &mut config.warnings)?);
            }
        }
        if let Some(mut stores) = root.section("key_value_store")? {
            for entry in stores.take_rest() {
                let table = stores.open(stores.child_name(&entry.key), entry.value)?;
                let store = key_value_store(table, folder, &mut config.warnings)?;
                config.key_value_stores.insert(entry.key, store);
            }
        }
        for key in WITHOUT_EFFECT {
            if let Some(value) = root.take_value(key) {
                config.warnings.push(root.notice(&value.span(), format_args!("{key:?} has no effect on this host")));
            }
        }
        root.warn_of_rest(&mut config.warnings);
        Ok(config)
    }
}

/// Removes the list of tables `[[key]]` from `root`, and returns the tables.
fn tables<'a>(root: &mut Section<'a>, key: &'static str) -> anyhow::Result<Vec<Section<'a>>> {
    let Some(value) = root.take_value(key) else { return Ok(Vec::new()) };
    let at = value.span();
    let DeValue::Array(entries) = value.into_inner() else {
        return Err(root.error(&at, format_args!("{key:?} must be a list of tables: [[{key}]]")));
    };
    entries.into_iter().map(|entry: Spanned<DeValue<'a>>| root.open(format!("[[{key}]]"), entry)).collect()
}

fn variables_provider(
    mut table: Section<'_>,
    folder: &Path,
    warnings: &mut Vec<String>,
) -> anyhow::Result<VariablesProvider> {
    let (kind, at) = kind(&mut table)?;
    let provider = match kind.as_str() {
        "static" => {
            let values = table.take_value("values").ok_or_else(|| table.missing("values"))?;
            let mut values = table.open(table.name().to_owned(), values)?;
            let entries = values.take_rest();
            let value = |entry: Entry<'_>| Ok((values.secret(&entry.key, &entry.value)?, entry.key));
            let entries = entries.into_iter().map(value).map(|read| read.map(|(value, key)| (key, value)));
            VariablesProvider::Static(entries.collect::<anyhow::Result<_>>()?)
        }
        "env" => {
            let dotenv: Option<PathBuf> = table.take("dotenv_path")?;
            VariablesProvider::Environment {
                prefix: table.take("prefix")?,
                dotenv: dotenv.map(|file| folder.join(file)),
            }
        }
        "vault" => {
            let mut secret = |key: &'static str| table.take_secret(key)?.ok_or_else(|| table.missing(key));
            let (url, token) = (secret("url")?, secret("token")?);
            VariablesProvider::Vault { url, token, mount: table.require("mount")?, prefix: table.take("prefix")? }
        }
        other => return Err(not_provided(&table, &at, other, "\"static\", \"env\" and \"vault\"")),
    };
    table.warn_of_rest(warnings);
    Ok(provider)
}

fn key_value_store(mut table: Section<'_>, folder: &Path, warnings: &mut Vec<String>) -> anyhow::Result<KeyValueStore> {
    let (kind, at) = kind(&mut table)?;
    let store = match kind.as_str() {
        "spin" => {
            let path: Option<PathBuf> = table.take("path")?;
            KeyValueStore::Sqlite(path.map(|path| folder.join(path)))
        }
        "redis" => KeyValueStore::Redis(table.require("url")?),
        other => return Err(not_provided(&table, &at, other, "\"spin\" and \"redis\"")),
    };
    table.warn_of_rest(warnings);
    Ok(store)
}

fn kind(table: &mut Section<'_>) -> anyhow::Result<(String, std::ops::Range<usize>)> {
    table.take_spanned("type")?.ok_or_else(|| table.missing("type"))
}

fn not_provided(table: &Section<'_>, at: &std::ops::Range<usize>, kind: &str, provided: &str) -> anyhow::Error {
    table
        .error(at, format_args!("the type {kind:?} in {} cannot work on this host, which has {provided}", table.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> anyhow::Result<RuntimeConfig> {
        RuntimeConfig::parse(Path::new("conf/runtime.toml"), text)
    }

    #[test]
    fn what_is_set_is_read() {
        let config = parse(
            "state_dir = 'data'\nllm_compute = { type = 'spin' }\nunknown = 1\n\
             [[variables_provider]]\ntype = 'static'\nvalues = { a = '1' }\n\
             [[config_provider]]\ntype = 'env'\nprefix = 'APP'\ndotenv_path = '.env'\n\
             [[config_provider]]\ntype = 'vault'\nurl = 'http://v'\ntoken = 't'\nmount = 'm'\nprefix = 'p'\n\
             [key_value_store.default]\ntype = 'spin'\npath = 'a.db'\nsize = 3\n\
             [key_value_store.memory]\ntype = 'spin'\n\
             [key_value_store.cache]\ntype = 'redis'\nurl = 'redis://localhost'\n",
        )
        .unwrap();
        assert_eq!(config.state_dir, Some("conf/data".into()));
        let values = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        let prefix = Some("APP".to_owned());
        let environment = VariablesProvider::Environment { prefix, dotenv: Some("conf/.env".into()) };
        let text = |text: &str| text.to_owned();
        let vault = VariablesProvider::Vault {
            url: text("http://v"),
            token: text("t"),
            mount: text("m"),
            prefix: Some(text("p")),
        };
        assert!(config.variables_providers == [VariablesProvider::Static(values), environment, vault]);
        let stores: Vec<_> =
            config.key_value_stores.iter().map(|(label, store)| (label.as_str(), store.clone())).collect();
        assert!(
            stores
                == [
                    ("cache", KeyValueStore::Redis("redis://localhost".to_owned())),
                    ("default", KeyValueStore::Sqlite(Some("conf/a.db".into()))),
                    ("memory", KeyValueStore::Sqlite(None)),
                ]
        );
        assert_eq!(
            config.warnings,
            [
                "conf/runtime.toml:20: \"size\" in [key_value_store.default] has no effect",
                "conf/runtime.toml:2: \"llm_compute\" has no effect on this host",
                "conf/runtime.toml:3: \"unknown\" in the runtime configuration has no effect",
            ]
        );
        assert_eq!(parse("state_dir = ''").unwrap().state_dir, Some(PathBuf::new()));
    }

    #[test]
    fn a_mistake_is_named() {
        for (text, expected) in [
            (
                "[[variables_provider]]\ntype = 'azure_key_vault'",
                "conf/runtime.toml:2: the type \"azure_key_vault\" in [[variables_provider]] cannot work on this host, \
                 which has \"static\", \"env\" and \"vault\"",
            ),
            (
                "[variables_provider]\ntype = 'env'",
                "conf/runtime.toml:1: \"variables_provider\" must be a list of tables: [[variables_provider]]",
            ),
            (
                "[key_value_store.a]\ntype = 'aws_dynamo'",
                "conf/runtime.toml:2: the type \"aws_dynamo\" in [key_value_store.a] cannot work on this host, which \
                 has \"spin\" and \"redis\"",
            ),
            (
                "[[variables_provider]]\ntype = 'static'\nvalues = { a = 1234 }",
                "conf/runtime.toml:3: \"a\" in [[variables_provider]] must be a text",
            ),
            (
                "[[config_provider]]\ntype = 'vault'\nurl = 'http://v'\nmount = 'm'\ntoken = 123",
                "conf/runtime.toml:5: \"token\" in [[config_provider]] must be a text",
            ),
            ("[[config_provider]]\ntype = 'vault'", "conf/runtime.toml:1: [[config_provider]] has no \"url\""),
            ("[key_value_store.a]", "conf/runtime.toml:1: [key_value_store.a] has no \"type\""),
            ("[key_value_store.a]\ntype = 'redis'", "conf/runtime.toml:1: [key_value_store.a] has no \"url\""),
        ] {
            assert_eq!(parse(text).err().unwrap().to_string(), expected);
        }
    }
}
