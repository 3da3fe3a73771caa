//! Reads the runtime configuration of an application: the values of its variables, and its key-value stores. The
//! operator sets this configuration in addition to the manifest.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use epilogue_manifest::Manifest;
use epilogue_manifest::manifest::{RuntimeConfig, VariablesProvider, check_name, nearest};
use epilogue_spin::key_value::{Backends, DEFAULT, Stores};
use epilogue_spin::variables::{Environment, Provider, Resolver, read_dotenv};
use futures::executor::block_on;
use tokio::runtime::Builder;

use crate::commands::vault::Vault;

/// The command-line options for variables and key-value stores.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct RuntimeArgs {
    // The name of the variable is Spin's.
    /// File with Spin's runtime configuration. The file says where variables come from, and where key-value stores keep
    /// their data.
    #[arg(long, env = "RUNTIME_CONFIG_FILE", value_name = "FILE")]
    runtime_config_file: Option<PathBuf>,

    // No variable: each variable has its own, with Spin's prefix.
    /// Set a variable of the application. `KEY=@FILE` takes the value from a file. `@FILE.json` and `@FILE.toml` set
    /// several variables. You can repeat the option.
    #[arg(long = "variable", value_name = "KEY=VALUE")]
    variables: Vec<String>,

    /// Folder for the application's data, such as its default key-value store. If the name is empty, the host keeps the
    /// data in memory. The default is the folder .spin in the manifest's folder.
    #[arg(long, env = "EPILOGUE_STATE_DIR", value_name = "DIR")]
    state_dir: Option<OsString>,

    /// Write a key into the default key-value store when the host starts. To write several keys, repeat the option.
    #[arg(long = "key-value", value_name = "KEY=VALUE", value_parser = key_value)]
    key_values: Vec<(String, String)>,

    /// The open key-value stores, which a reload keeps.
    #[arg(skip)]
    backends: Backends,
}

/// The parsed value of an option `--variable`, which says where the values of the variables come from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum VariableSource {
    Value(String, String),
    Content(String, PathBuf),
    Json(PathBuf),
    Toml(PathBuf),
}

/// The runtime configuration of an application: its variables and its key-value stores.
pub(crate) struct Runtime {
    /// The values of the application's variables.
    pub(crate) variables: Resolver,
    /// The key-value stores that the application can use.
    pub(crate) stores: Stores,
}

impl RuntimeArgs {
    /// Reads the values of the variables, and finds out which key-value stores the operator has configured. If a part
    /// of the configuration has no effect, logs a warning.
    ///
    /// # Errors
    ///
    /// Returns an error if a file cannot be read, if `--variable` names a variable that the manifest does not declare,
    /// or if a required variable has no value.
    pub(crate) fn resolve(&self, manifest: &Manifest) -> anyhow::Result<Runtime> {
        let config = match &self.runtime_config_file {
            Some(file) => RuntimeConfig::load(file)?,
            None => RuntimeConfig::default(),
        };
        for warning in &config.warnings {
            tracing::warn!(target: "epilogue::up", "{warning}");
        }
        let own = self.state_dir.as_ref().map(PathBuf::from);
        let state_dir = own.or(config.state_dir).unwrap_or_else(|| manifest.folder.join(".spin"));
        let state_dir = Some(state_dir).filter(|folder| !folder.as_os_str().is_empty());
        let stores = Stores::new(self.backends.clone(), config.key_value_stores, state_dir.as_deref());
        Ok(Runtime { variables: self.variables(manifest, config.variables_providers)?, stores })
    }

    /// Writes the keys of the option `--key-value` into the default key-value store.
    ///
    /// # Errors
    ///
    /// Returns an error if the default store cannot be opened, or if the store refuses a key.
    pub(crate) fn set_key_values(&self, stores: &Stores) -> anyhow::Result<()> {
        if self.key_values.is_empty() {
            return Ok(());
        }
        let store = stores.open(DEFAULT)?;
        let values = self.key_values.iter().map(|(key, value)| (key.clone(), value.clone().into_bytes())).collect();
        let runtime = Builder::new_current_thread().enable_time().build()?;
        runtime.block_on(store.set_many(values)).context("--key-value cannot be set")
    }

    fn variables(&self, manifest: &Manifest, from: Vec<VariablesProvider>) -> anyhow::Result<Resolver> {
        let mut providers = vec![Provider::Static(self.own_values(manifest)?)];
        for provider in from {
            providers.push(match provider {
                VariablesProvider::Static(values) => Provider::Static(values),
                VariablesProvider::Environment { prefix, dotenv } => {
                    let dotenv = dotenv.as_deref().map(read_dotenv).transpose()?.unwrap_or_default();
                    let prefix = prefix.unwrap_or_else(|| Environment::DEFAULT_PREFIX.to_owned());
                    Provider::Environment(Environment::new(prefix, dotenv))
                }
                VariablesProvider::Vault { url, token, mount, prefix } => {
                    Provider::Server(Arc::new(Vault::new(&url, &token, mount, prefix)?))
                }
            });
        }
        // Spin reads the file from the current folder. The file may belong to another application.
        let dotenv = read_dotenv(Path::new(".env")).unwrap_or_else(|error| {
            if !manifest.variables.is_empty() {
                tracing::warn!(target: "epilogue::up", "variables are not taken from .env: {error:#}");
            }
            BTreeMap::new()
        });
        providers.push(Provider::Environment(Environment::new(Environment::DEFAULT_PREFIX, dotenv)));
        let resolver = Resolver::new(manifest.variables.clone(), providers);
        check_required(manifest, &resolver)?;
        Ok(resolver)
    }

    fn own_values(&self, manifest: &Manifest) -> anyhow::Result<BTreeMap<String, String>> {
        let mut values = BTreeMap::new();
        // clap does not read these values, because its errors would show them.
        for text in &self.variables {
            let source: VariableSource = text.parse().context("--variable is wrong")?;
            values.extend(source.read()?);
        }
        let known: Vec<&String> = manifest.variables.keys().collect();
        if let Some(unknown) = values.keys().find(|name| !manifest.variables.contains_key(*name)) {
            let hint = match nearest(unknown, &known) {
                Some(near) => format!("did you mean {near:?}?"),
                None => "it declares its variables in [variables]".to_owned(),
            };
            bail!("--variable sets {unknown:?}, which {} does not declare: {hint}", manifest.path.display());
        }
        Ok(values)
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Returns an error if a variable is required and has no value.
fn check_required(manifest: &Manifest, resolver: &Resolver) -> anyhow::Result<()> {
    let missing = block_on(resolver.missing());
    let Some(first) = missing.first() else { return Ok(()) };
    let prefix = Environment::DEFAULT_PREFIX;
    bail!(
        "{}: required variables have no value: {}; set each one, for example with --variable {first}=VALUE or \
         {prefix}_{}",
        manifest.path.display(),
        missing.join(", "),
        first.to_ascii_uppercase()
    );
}

impl VariableSource {
    fn read(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let content = |file: &Path| fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()));
        // An error of a parser quotes the text, which may be secret.
        let several = |file: &PathBuf, values: Option<BTreeMap<String, String>>| {
            values.with_context(|| format!("{} is not a table of variables, each with a text", file.display()))
        };
        match self {
            Self::Value(name, value) => Ok(BTreeMap::from([(name.clone(), value.clone())])),
            Self::Content(name, file) => Ok(BTreeMap::from([(name.clone(), content(file)?)])),
            Self::Json(file) => several(file, serde_json::from_str(&content(file)?).ok()),
            Self::Toml(file) => several(file, toml::from_str(&content(file)?).ok()),
        }
    }
}

impl FromStr for VariableSource {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        if let Some(file) = text.strip_prefix('@') {
            let file = PathBuf::from(file);
            return match file.extension().and_then(|extension| extension.to_str()) {
                Some("json") => Ok(Self::Json(file)),
                Some("toml") => Ok(Self::Toml(file)),
                _ => bail!("the file must end in .json or .toml"),
            };
        }
        // The text may be a secret, so it is not repeated.
        let (name, value) =
            text.split_once('=').context("it must be KEY=VALUE, KEY=@FILE, @FILE.json or @FILE.toml")?;
        if let Err(reason) = check_name(name) {
            bail!("the variable name {name:?} {reason}");
        }
        Ok(match value.strip_prefix('@') {
            Some(file) => Self::Content(name.to_owned(), file.into()),
            None => Self::Value(name.to_owned(), value.to_owned()),
        })
    }
}
