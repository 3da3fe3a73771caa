//! The application that a `spin.toml` describes. The file is a Spin manifest of version 2. This host's settings are in
//! tables that Spin ignores.

mod check;
mod component;
mod dependencies;
mod download;
mod files;
mod middleware;
mod parse;
mod profile;
mod reader;
mod runtime_config;
mod static_response;
mod targets;
#[cfg(test)]
mod tests;
mod tool;
mod triggers;
mod variables;

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use http::Response;

use crate::{
    outbound::AllowedHosts,
    settings::{HostOverlay, Settings, SettingsOverlay},
    template::Template,
};

pub use component::check_id;
pub use dependencies::Dependency;
pub use download::Download;
pub use files::{Files, Mount};
pub use reader::nearest;
pub use runtime_config::{KeyValueStore, RuntimeConfig, VariablesProvider};
pub use variables::{Variable, Variables, check_name};

/// The default file name of a manifest.
pub const DEFAULT_NAME: &str = "spin.toml";

/// An application, as its manifest describes it.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The manifest's file, as the user named it.
    pub path: PathBuf,
    /// The absolute path of the folder that the manifest is in.
    pub folder: PathBuf,
    /// The application's name.
    pub name: String,
    /// The application's version. It may be empty.
    pub version: String,
    /// The profile that was chosen, if any.
    pub profile: Option<String>,
    /// The host's options in `[application.tool.epilogue]`.
    pub host: HostOverlay,
    /// The settings in `[application.tool.epilogue]`. They apply to every component without its own.
    pub settings: SettingsOverlay,
    /// The variables that the application declares.
    pub variables: Variables,
    /// The components, in the manifest's order.
    pub components: Vec<Component>,
    /// The triggers that call the components, in the manifest's order.
    pub triggers: Vec<HttpTrigger>,
    /// The files that the host downloads before it loads the application.
    pub downloads: Vec<Download>,
    /// The features that the application needs and this host does not offer. Such an application must not run here.
    unsupported: Vec<Notice>,
    /// The profiles of all components.
    profiles: Vec<String>,
    /// Warnings for the application's author.
    warnings: Vec<Notice>,
}

/// A WebAssembly component with its configuration.
#[derive(Clone, Debug)]
pub struct Component {
    /// The component's id in the manifest.
    pub id: String,
    /// The absolute path of the WebAssembly file that this host runs. It is `source` of `tool.epilogue`, or else the
    /// component's own `source`. The file is in the user's cache folder if it is one of [`Manifest::downloads`].
    pub source: PathBuf,
    /// The component's environment variables.
    pub environment: BTreeMap<String, Template>,
    /// The variables that the component can ask for.
    pub variables: BTreeMap<String, Template>,
    /// The labels of the key-value stores that the component may open.
    pub key_value_stores: Vec<String>,
    /// The files that the component may read.
    pub files: Files,
    /// The destinations that the component may connect to, without those in `templated_outbound_hosts`.
    pub allowed_outbound_hosts: AllowedHosts,
    /// The entries of `allowed_outbound_hosts` that contain variables.
    pub templated_outbound_hosts: Vec<Template>,
    /// The middleware around the component for every trigger, from `middleware` of `tool.epilogue`. It is inside the
    /// trigger's own middleware.
    pub middleware: Vec<Middleware>,
    /// The components that satisfy imports of the component.
    pub dependencies: Vec<Dependency>,
    /// The commands that build the component.
    pub build: Option<Build>,
    /// The component's own settings. [`Manifest::settings_of`] returns the effective settings.
    pub settings: SettingsOverlay,
}

/// How a component is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// Shell commands, which run one after the other.
    pub commands: Vec<String>,
    /// The absolute path of the folder in which the commands run.
    pub workdir: PathBuf,
    /// Patterns of files, relative to `workdir`. If one of these files changes, the component is built again.
    pub watch: Vec<String>,
}

/// An HTTP route and what answers its requests.
#[derive(Clone, Debug)]
pub struct HttpTrigger {
    /// What answers the requests.
    pub target: Target,
    /// The route as the manifest writes it. None if the trigger is private, which means that no request from outside reaches
    /// it.
    pub route: Option<String>,
}

/// What answers the requests of a trigger.
#[derive(Clone, Debug)]
pub enum Target {
    /// A component.
    Component {
        /// The component's id.
        id: String,
        /// The middleware that requests pass on their way to the component, the outermost first: the trigger's own,
        /// then the component's.
        middleware: Vec<Middleware>,
    },
    /// The host itself, with the same response each time.
    Static {
        /// The trigger's id.
        id: String,
        /// The response, with its body.
        response: Response<String>,
    },
}

/// A component that passes requests on to the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Middleware {
    /// The middleware's id in the manifest, or else its file as the manifest writes it.
    pub id: String,
    /// The absolute path of the WebAssembly file.
    pub source: PathBuf,
    /// The configuration that the middleware inherits from the trigger's component. A middleware has no other
    /// configuration.
    pub inherits: Inherited,
}

/// The configuration that a middleware or a dependency inherits from its component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inherited {
    /// Whether it inherits the environment variables.
    pub environment: bool,
    /// Whether it inherits the files.
    pub files: bool,
    /// Whether it may connect to the component's `allowed_outbound_hosts`.
    pub outbound_hosts: bool,
    /// Whether it can ask for the variables.
    pub variables: bool,
    /// Whether it may open the component's key-value stores.
    pub key_value_stores: bool,
}

impl Inherited {
    /// All configuration.
    pub const EVERYTHING: Self =
        Self { environment: true, files: true, outbound_hosts: true, variables: true, key_value_stores: true };
}

/// A message about the manifest, with the id of the component if it is about a single one.
#[derive(Clone, Debug)]
struct Notice {
    component: Option<String>,
    message: String,
}

impl Manifest {
    /// Finds the manifest. `from`, from the command line, is a file, or a folder with a `spin.toml`.
    ///
    /// Without `from`, it is the manifest in the current folder, or the nearest one above it in the same git repository.
    pub fn find(from: Option<&Path>) -> anyhow::Result<PathBuf> {
        match from {
            Some(folder) if folder.is_dir() => {
                let file = folder.join(DEFAULT_NAME);
                ensure!(!is_missing(&file), "the folder {} has no {DEFAULT_NAME}", folder.display());
                Ok(file)
            }
            Some(file) => {
                ensure!(!is_missing(file), "no such file or folder: {}", file.display());
                Ok(file.to_owned())
            }
            None => search_upwards().with_context(|| {
                format!(
                    "there is no {DEFAULT_NAME} here: name the application with --from <FILE or FOLDER>, or see --help"
                )
            }),
        }
    }

    /// Reads a manifest. [`Manifest::select`] then checks whether the named files exist, and whether this host has all
    /// features.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        Self::load_profile(path, None)
    }

    /// Reads a manifest, as [`Manifest::load`] does, with the values of a profile.
    ///
    /// # Errors
    ///
    /// Returns an error if the manifest is wrong, or no component has this profile.
    pub fn load_profile(path: &Path, profile: Option<&str>) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read the manifest {}", path.display()))?;
        Self::parse_profile(path, &text, profile)
    }

    /// Reads a manifest from its text. `path` is the manifest's path for messages and relative paths. This function
    /// reads no file.
    pub fn parse(path: &Path, text: &str) -> anyhow::Result<Self> {
        Self::parse_profile(path, text, None)
    }

    fn parse_profile(path: &Path, text: &str, profile: Option<&str>) -> anyhow::Result<Self> {
        let absolute = std::path::absolute(path)?;
        parse::manifest(path, absolute.parent().unwrap_or(Path::new("/")), text, profile)
    }

    /// Keeps only the components that `only` names. If `only` is empty, keeps all components. Then checks that this
    /// host can run them.
    pub fn select(mut self, only: &[String]) -> anyhow::Result<Self> {
        self.check_ids(only)?;
        let chosen = |id: &String| only.is_empty() || only.contains(id);
        // As in Spin, a choice of components leaves out the static responses.
        self.triggers.retain(|trigger| {
            only.is_empty() || trigger.component().is_some_and(|id| only.iter().any(|only| only == id))
        });
        // The chosen components keep their middleware and their dependencies.
        let around = self.triggers.iter().flat_map(HttpTrigger::middleware).map(|used| used.id.clone());
        let within = self.components.iter().filter(|component| chosen(&component.id));
        let within = within.flat_map(|component| &component.dependencies).map(|used| used.id.clone());
        let used: Vec<_> = around.chain(within).collect();
        let needed = |id: &String| chosen(id) || used.contains(id);
        self.components.retain(|component| needed(&component.id));
        self.unsupported.retain(|notice| notice.component.as_ref().is_none_or(needed));
        self.warnings.retain(|notice| notice.component.as_ref().is_none_or(needed));
        self.check_calls(only)?;
        self.retain_downloads();
        self.check_runnable()?;
        Ok(self)
    }

    /// Returns the warnings for the application's author, as text.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.warnings.iter().map(|notice| notice.message.as_str())
    }

    /// Returns the effective settings of a component, including the settings of the command line.
    pub fn settings_of(&self, component: &Component, flags: &SettingsOverlay) -> Settings {
        flags.clone().over(component.settings.clone()).over(self.settings.clone()).resolve()
    }

    /// Returns the routes of requests from outside, with their targets.
    pub fn routes(&self) -> impl Iterator<Item = (&str, &HttpTrigger)> {
        self.triggers.iter().filter_map(|trigger| Some((trigger.route.as_deref()?, trigger)))
    }

    /// Returns the components that run. A component occurs once for each different list of middleware around it.
    pub fn services(&self) -> Vec<(&Component, &[Middleware])> {
        let mut services: Vec<(&Component, &[Middleware])> = Vec::new();
        for trigger in &self.triggers {
            let Target::Component { id, middleware } = &trigger.target else { continue };
            let known = services.iter().any(|(component, around)| component.id == *id && *around == middleware);
            let component = self.components.iter().find(|component| component.id == *id);
            services.extend(component.filter(|_| !known).map(|component| (component, &**middleware)));
        }
        services
    }

    /// Makes sure that there is a component of each of these names.
    pub fn check_ids(&self, ids: &[String]) -> anyhow::Result<()> {
        let known: Vec<&str> = self.components.iter().map(|component| component.id.as_str()).collect();
        match ids.iter().find(|id| !known.contains(&id.as_str())) {
            None => Ok(()),
            Some(id) => {
                bail!("{} has no component {id:?}, but: {}", self.path.display(), known.join(", "))
            }
        }
    }
}

impl HttpTrigger {
    /// The id of the component that answers. None if the host answers itself.
    pub fn component(&self) -> Option<&str> {
        match &self.target {
            Target::Component { id, .. } => Some(id),
            Target::Static { .. } => None,
        }
    }

    /// The name of what answers: the component's id, or else the trigger's.
    pub fn name(&self) -> &str {
        match &self.target {
            Target::Component { id, .. } | Target::Static { id, .. } => id,
        }
    }

    /// The middleware that requests pass on their way to the component, the outermost first.
    pub fn middleware(&self) -> &[Middleware] {
        match &self.target {
            Target::Component { middleware, .. } => middleware,
            Target::Static { .. } => &[],
        }
    }
}

/// Returns whether a file certainly does not exist. Returns false after any other error, which then shows when the file
/// is read.
fn is_missing(file: &Path) -> bool {
    std::fs::metadata(file).is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

fn search_upwards() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    for folder in here.ancestors() {
        let candidate = folder.join(DEFAULT_NAME);
        if candidate.is_file() {
            // In the current folder the plain name reads better in messages.
            return Some(if folder == here { DEFAULT_NAME.into() } else { candidate });
        }
        if folder.join(".git").exists() {
            return None;
        }
    }
    None
}
