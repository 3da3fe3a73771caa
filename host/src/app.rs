//! The application: its components, and which paths are whose.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use wasmtime::Engine;

pub use crate::component::Output;
use crate::component::{Component, ComponentConfig};
pub use crate::durable::TaskStore;
use crate::engine::linker;
use crate::manifest::{HttpTrigger, Manifest};
use crate::outgoing::OwnAddress;
use crate::routes::Router;
use crate::settings::SettingsOverlay;

/// A loaded application.
pub struct App {
    /// From a path to the component's place in `components`.
    pub(crate) router: Router<usize>,
    pub(crate) components: Vec<Arc<Component>>,
    own_address: OwnAddress,
    pub(crate) store: Option<TaskStore>,
}

/// What of an application's description is not in its manifest.
#[derive(Default)]
pub struct AppOptions {
    /// Settings that go before the manifest's.
    pub settings: SettingsOverlay,
    /// Environment variables for every component, before the manifest's.
    pub environment: Vec<(String, String)>,
    /// Where components print.
    pub output: Output,
    /// Where durable tasks are stored.
    pub store: Option<TaskStore>,
}

impl App {
    /// Loads the application that a manifest describes, which takes a while for components that were not compiled before.
    ///
    /// # Errors
    ///
    /// If a component cannot run here; the message says which, and why.
    pub fn load(engine: &Engine, manifest: &Manifest, options: AppOptions) -> anyhow::Result<Self> {
        let scratch = match manifest.components.iter().all(|component| component.files.is_empty()) {
            true => None,
            false => Some(Arc::new(tempfile::tempdir().context("cannot make a temporary folder")?)),
        };
        let own_address = OwnAddress::default();
        let linker = linker(engine, options.store.is_some())?;
        let mut components = Vec::new();
        let services = manifest.services();
        for (place, (component, middleware)) in services.iter().enumerate() {
            let id = &component.id;
            let settings = manifest.settings_of(component, &options.settings);
            let mounts = match &scratch {
                Some(scratch) => {
                    component.files.prepare(&scratch.path().join(place.to_string()), settings.allow_transient_write)
                }
                None => Ok(Vec::new()),
            };
            let mut environment = component.environment.clone();
            environment.extend(options.environment.iter().cloned());
            let config = ComponentConfig {
                id: id.clone(),
                middleware: middleware.to_vec(),
                mounts: mounts.with_context(|| format!("component {id:?} cannot have its files"))?,
                scratch: scratch.clone(),
                environment: environment.into_iter().collect(),
                allowed_hosts: component.allowed_outbound_hosts.clone(),
                output: options.output.clone(),
                store: options.store.clone(),
                settings,
            };
            tracing::info!("loading component {id:?} from {}", component.source.display());
            components.push(Arc::new(Component::load(&linker, &component.source, config, own_address.clone())?));
        }
        let place = |trigger: &HttpTrigger| {
            services.iter().position(|service| service.0.id == trigger.component && service.1 == trigger.middleware)
        };
        let routes = manifest.routes().filter_map(|(route, trigger)| Some((route.to_owned(), place(trigger)?)));
        let router = Router::new(routes)?;
        Ok(Self { router, components, own_address, store: options.store })
    }

    /// Makes known where the application is reached, for the requests that it sends to itself.
    pub(crate) fn set_address(&self, address: SocketAddr) {
        _ = self.own_address.set(address);
    }
}
