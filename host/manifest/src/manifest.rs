//! Reads the file `spin.toml`, which describes an application. A `spin.toml` is a Spin manifest of version 2. The
//! tables `tool.epilogue` of the file contain this host's settings, and Spin ignores these tables.

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
    /// The path of the manifest. Messages show this path.
    pub path: PathBuf,
    /// The absolute path of the folder that the manifest is in.
    pub folder: PathBuf,
    /// The application's name.
    pub name: String,
    /// The application's version. The version may be empty.
    pub version: String,
    /// The name of the profile that the user chose with `--profile`. Without `--profile`, the value is `None`.
    pub profile: Option<String>,
    /// The host's options in `[application.tool.epilogue]`.
    pub host: HostOverlay,
    /// The settings for all components, from `[application.tool.epilogue]`. If a component has its own value for one of
    /// these settings, the component uses its own value.
    pub settings: SettingsOverlay,
    /// The variables that the application declares in `[variables]`.
    pub variables: Variables,
    /// The components of the application, in the manifest's order.
    pub components: Vec<Component>,
    /// The triggers, in the manifest's order. A trigger says which component answers the requests for a route.
    pub triggers: Vec<HttpTrigger>,
    /// The files that the host downloads before it loads the application.
    pub downloads: Vec<Download>,
    /// A message for each feature that the application needs but this host does not offer. If this list is not empty,
    /// the application cannot run on this host.
    unsupported: Vec<Notice>,
    /// The names of all profiles in the manifest.
    profiles: Vec<String>,
    /// Warnings about the manifest for the application's author.
    warnings: Vec<Notice>,
}

/// A WebAssembly component with its configuration.
#[derive(Clone, Debug)]
pub struct Component {
    /// The component's id in the manifest.
    pub id: String,
    /// The absolute path of the WebAssembly file that this host runs. If the component's `tool.epilogue` table has a
    /// `source`, the host runs this file. Otherwise the host runs the file in the component's normal `source`. If
    /// [`Manifest::downloads`] contains the file, the path is in the user's cache folder.
    pub source: PathBuf,
    /// The component's environment variables.
    pub environment: BTreeMap<String, Template>,
    /// The variables that the component can read: each variable's name, and the template of its value.
    pub variables: BTreeMap<String, Template>,
    /// The labels of the key-value stores that the component may open.
    pub key_value_stores: Vec<String>,
    /// The files that the component may read.
    pub files: Files,
    /// The entries of `allowed_outbound_hosts` that contain no variables. The component may connect to the destinations
    /// of these entries, and to the destinations of the entries in `templated_outbound_hosts`.
    pub allowed_outbound_hosts: AllowedHosts,
    /// The entries of `allowed_outbound_hosts` that contain variables.
    pub templated_outbound_hosts: Vec<Template>,
    /// The middleware from the component's own `tool.epilogue` table. This middleware is around the component in every
    /// trigger. If a trigger has middleware, too, each request passes the trigger's middleware before this middleware.
    pub middleware: Vec<Middleware>,
    /// The dependencies: other components that export functions which this component imports.
    pub dependencies: Vec<Dependency>,
    /// The commands that build the component, if the manifest has any.
    pub build: Option<Build>,
    /// The component's own settings. [`Manifest::settings_of`] returns the settings that apply to the component.
    pub settings: SettingsOverlay,
}

/// The commands that build a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// Shell commands that run one after the other.
    pub commands: Vec<String>,
    /// The absolute path of the folder in which the commands run.
    pub workdir: PathBuf,
    /// Patterns for the paths of files, relative to `workdir`. After a change of a file that matches a pattern,
    /// `epilogue up --watch` builds the component again.
    pub watch: Vec<String>,
}

/// An HTTP trigger: a route, and the component or the fixed response that answers requests for the route.
#[derive(Clone, Debug)]
pub struct HttpTrigger {
    /// The component or the fixed response that answers the trigger's requests.
    pub target: Target,
    /// The route from the manifest, with a leading slash. If the trigger is private, the value is `None`: clients
    /// cannot reach the component through a private trigger.
    pub route: Option<String>,
}

/// The component or the fixed response that answers a trigger's requests.
#[derive(Clone, Debug)]
pub enum Target {
    /// A component answers the trigger's requests.
    Component {
        /// The component's id.
        id: String,
        /// The middleware around the component. A request passes the middleware in the order of this list, and then
        /// gets to the component. The trigger's own middleware comes before the component's own middleware.
        middleware: Vec<Middleware>,
    },
    /// The host itself answers each request of the trigger with the same response.
    Static {
        /// The trigger's id.
        id: String,
        /// The response, with its body.
        response: Response<String>,
    },
}

/// A component that wraps another component. A middleware gets each request before the wrapped component. The
/// middleware may answer the request itself, or pass the request on to the wrapped component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Middleware {
    /// The middleware's id in the manifest. If the manifest names the middleware by a file or an address, the id is the
    /// file's path or the address.
    pub id: String,
    /// The absolute path of the middleware's WebAssembly file.
    pub source: PathBuf,
    /// The configuration that the middleware inherits from the trigger's component. The middleware has only this
    /// configuration.
    pub inherits: Inherited,
}

/// The parts of a component's configuration that a middleware or a dependency of the component inherits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inherited {
    /// If true, the middleware or dependency inherits the component's environment variables.
    pub environment: bool,
    /// If true, the middleware or dependency inherits the component's files.
    pub files: bool,
    /// If true, the middleware or dependency may connect to the destinations in the component's
    /// `allowed_outbound_hosts`.
    pub outbound_hosts: bool,
    /// If true, the middleware or dependency can read the component's variables.
    pub variables: bool,
    /// If true, the middleware or dependency may open the component's key-value stores.
    pub key_value_stores: bool,
}

impl Inherited {
    /// The middleware or dependency inherits all configuration of the component.
    pub const EVERYTHING: Self =
        Self { environment: true, files: true, outbound_hosts: true, variables: true, key_value_stores: true };
}

/// A message about the manifest. If the message is about a single component, `component` is the component's id.
#[derive(Clone, Debug)]
struct Notice {
    component: Option<String>,
    message: String,
}

impl Manifest {
    /// Finds the manifest. `from` is a path from the command line: a file, or a folder that contains a `spin.toml`.
    ///
    /// Without `from`, the function looks for a `spin.toml` in the current folder, and then in the folder's parent
    /// folders, up to the root of the git repository.
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

    /// Reads a manifest. Does not check that this host can run the application: [`Manifest::select`] checks this.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        Self::load_profile(path, None)
    }

    /// Reads a manifest as [`Manifest::load`] does, and applies the profile `profile`. If a component has this profile,
    /// the profile's values win over the component's normal values.
    ///
    /// # Errors
    ///
    /// Returns an error if the manifest has a mistake, or if no component has this profile.
    pub fn load_profile(path: &Path, profile: Option<&str>) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read the manifest {}", path.display()))?;
        Self::parse_profile(path, &text, profile)
    }

    /// Reads a manifest from its text, without reading any file. Error messages show `path` as the manifest's path.
    /// Relative paths in the text start at the folder of `path`.
    pub fn parse(path: &Path, text: &str) -> anyhow::Result<Self> {
        Self::parse_profile(path, text, None)
    }

    fn parse_profile(path: &Path, text: &str, profile: Option<&str>) -> anyhow::Result<Self> {
        let absolute = std::path::absolute(path)?;
        parse::manifest(path, absolute.parent().unwrap_or(Path::new("/")), text, profile)
    }

    /// Keeps only the components whose ids are in `only`, and the middleware and dependencies of these components. If
    /// `only` is empty, keeps all components. Returns an error if this host cannot run the remaining components.
    pub fn select(mut self, only: &[String]) -> anyhow::Result<Self> {
        self.check_ids(only)?;
        let chosen = |id: &String| only.is_empty() || only.contains(id);
        // If the user chooses components, the host removes all static responses, as Spin does.
        self.triggers.retain(|trigger| {
            only.is_empty() || trigger.component().is_some_and(|id| only.iter().any(|only| only == id))
        });
        // The middleware and the dependencies of the chosen components stay in the manifest, too.
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

    /// Returns the settings that apply to a component. A setting in `flags`, which come from the command line, wins
    /// over the component's own setting. The component's own setting wins over the application's setting.
    pub fn settings_of(&self, component: &Component, flags: &SettingsOverlay) -> Settings {
        flags.clone().over(component.settings.clone()).over(self.settings.clone()).resolve()
    }

    /// Returns each public route with its trigger. A private trigger has no route.
    pub fn routes(&self) -> impl Iterator<Item = (&str, &HttpTrigger)> {
        self.triggers.iter().filter_map(|trigger| Some((trigger.route.as_deref()?, trigger)))
    }

    /// Returns each component that has a trigger, with the middleware around the component. If two triggers put
    /// different middleware around one component, the result has the component twice.
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

    /// Checks that the manifest has a component for each id in `ids`.
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
    /// Returns the id of the component that answers the trigger's requests. If the trigger has a fixed response instead
    /// of a component, returns `None`.
    pub fn component(&self) -> Option<&str> {
        match &self.target {
            Target::Component { id, .. } => Some(id),
            Target::Static { .. } => None,
        }
    }

    /// Returns the id of the trigger's component. If the trigger has a fixed response instead of a component, returns
    /// the trigger's id.
    pub fn name(&self) -> &str {
        match &self.target {
            Target::Component { id, .. } | Target::Static { id, .. } => id,
        }
    }

    /// Returns the middleware around the trigger's component, in the order in which a request passes the middleware.
    pub fn middleware(&self) -> &[Middleware] {
        match &self.target {
            Target::Component { middleware, .. } => middleware,
            Target::Static { .. } => &[],
        }
    }
}

/// Returns true if a file certainly does not exist. If the host cannot find out whether the file exists, for example
/// because a permission is missing, returns false. The user then sees an error later, when the host reads the file.
fn is_missing(file: &Path) -> bool {
    std::fs::metadata(file).is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

fn search_upwards() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    for folder in here.ancestors() {
        let candidate = folder.join(DEFAULT_NAME);
        if candidate.is_file() {
            // For the current folder, the function returns only the file name, because messages show this path.
            return Some(if folder == here { DEFAULT_NAME.into() } else { candidate });
        }
        if folder.join(".git").exists() {
            return None;
        }
    }
    None
}
