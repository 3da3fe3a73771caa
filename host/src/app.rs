//! Loads an application: its components, and the routes that lead to the components.

mod downloads;
pub(crate) mod version;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use epilogue_manifest::manifest::{self, Download, Manifest, Target};
use epilogue_manifest::outbound::{AllowedHost, AllowedHosts};
use epilogue_manifest::routes::Router;
use epilogue_manifest::settings::SettingsOverlay;
use epilogue_spin::key_value::Stores;
use epilogue_spin::variables::{ComponentVariables, Resolver};
use futures::executor::block_on;
use http::Response;
use wasmtime::Engine;

use crate::budget::disk::Disk;
use crate::component::linker::linker;
use crate::component::{Component, ComponentConfig};
use crate::interfaces::outgoing::OwnAddress;
use crate::interfaces::warnings::Warnings;
pub(crate) use crate::interfaces::wasi::Output;
use crate::interfaces::wasi::WasiConfig;
use crate::process::scratch::Scratch;
pub(crate) use crate::tasks::store::TaskStore;
use crate::telemetry::otlp::GuestLog;

/// An application whose components are compiled and ready to serve requests.
pub struct App {
    /// Finds the component or the fixed response for the path of a request.
    pub(crate) router: Router<Route>,
    pub(crate) components: Vec<Arc<Component>>,
    own_address: OwnAddress,
    pub(crate) task_store: Option<TaskStore>,
    pub(crate) stores: Stores,
}

/// The target of a route: a component, or a fixed response.
#[derive(Clone)]
pub(crate) enum Route {
    /// The component with this index in [`App::components`] answers the requests.
    Component(usize),
    /// The host itself answers the requests with this fixed response.
    Static(Response<Bytes>),
}

/// The options for loading an application, in addition to the options in the manifest.
#[derive(Default)]
pub struct AppOptions {
    /// Settings that override the settings in the manifest.
    pub settings: SettingsOverlay,
    /// Environment variables for every component. These variables override the environment variables in the manifest.
    pub environment: Vec<(String, String)>,
    /// Says where the host writes the output of components.
    pub output: Output,
    /// Sends the output of components to an OpenTelemetry collector: one log record for each line. The value is `None`
    /// if the host exports no logs.
    pub(crate) guest_log: Option<GuestLog>,
    /// The task engine for durable tasks, or `None` if the host has no task engine.
    pub task_store: Option<TaskStore>,
    /// The values of the application's variables.
    pub variables: Resolver,
    /// The key-value stores of the application.
    pub stores: Stores,
}

impl App {
    /// Loads the application that a manifest describes. The first load of a component takes longer, because the host
    /// compiles the component.
    ///
    /// # Errors
    ///
    /// Returns an error if a component cannot run on this host. The error message names the component and the reason.
    pub fn load(engine: &Engine, manifest: &Manifest, options: AppOptions) -> anyhow::Result<Self> {
        downloads::fetch(&manifest.downloads)?;
        let scratch = match manifest.components.iter().all(|component| component.files.is_empty()) {
            true => None,
            false => Some(Arc::new(Scratch::new()?)),
        };
        let own_address = OwnAddress::default();
        let linker = linker(engine, options.task_store.is_some())?;
        let mut components = Vec::new();
        let services = manifest.services();
        let resolver = Arc::new(options.variables);
        let no_files = |id: &str| format!("component {id:?} cannot have its files");
        for (component, middleware) in &services {
            let id = &component.id;
            for warning in component.files.check().with_context(|| no_files(id))? {
                tracing::warn!(target: "epilogue::app", "component {id:?}: {warning}");
            }
            let Filled { mut environment, allowed_outbound_hosts } =
                fill(component, &resolver).with_context(|| format!("component {id:?} cannot have its variables"))?;
            environment.extend(options.environment.iter().cloned());
            let settings = manifest.settings_of(component, &options.settings);
            let warnings: Arc<Warnings> = Arc::default();
            let config = ComponentConfig {
                id: id.clone(),
                wasi: WasiConfig {
                    environment: environment.into_iter().collect(),
                    mounts: Vec::new(),
                    writable: settings.allow_transient_write,
                    allowed_hosts: Arc::new(allowed_outbound_hosts),
                    output: options.output.clone(),
                    guest_log: options.guest_log.clone(),
                    warnings: warnings.clone(),
                    disk: None,
                },
                variables: ComponentVariables::new(component.variables.clone(), resolver.clone()),
                stores: options
                    .stores
                    .of_component(&component.key_value_stores, &warnings.of_stores(id))
                    .with_context(|| format!("component {id:?} cannot have its key_value_stores"))?,
                task_store: options.task_store.clone(),
                scratch: scratch.clone(),
                settings,
            };
            let origin = manifest.download(&component.source).map(Download::shown);
            let origin = origin.unwrap_or_else(|| component.source.display().to_string());
            tracing::info!(target: "epilogue::app", "loading component {id:?} from {origin}");
            let (source, dependencies) = (&component.source, &component.dependencies);
            let own_address = own_address.clone();
            components.push(Component::load(&linker, source, middleware, dependencies, config, own_address)?);
        }
        // The host copies files after all slow steps. If a signal ends the process before the host handles signals, the
        // copies stay.
        if let Some(scratch) = &scratch {
            for (place, (loaded, (component, _))) in components.iter_mut().zip(&services).enumerate() {
                let folder = scratch.path().join(place.to_string());
                let writable = loaded.settings.allow_transient_write.then_some(loaded.settings.max_transient_write);
                let mounts = component.files.prepare(&folder, writable);
                loaded.wasi.mounts = mounts.with_context(|| no_files(&loaded.id))?;
                loaded.wasi.disk = writable.map(|most| Arc::new(Disk::new(loaded.id.clone(), folder, most)));
            }
        }
        let components = components.into_iter().map(Arc::new).collect();
        let target = |target: &Target| match target {
            Target::Component { id, middleware } => {
                let place = services.iter().position(|service| service.0.id == *id && service.1 == middleware)?;
                Some(Route::Component(place))
            }
            Target::Static { response, .. } => Some(Route::Static(response.clone().map(Bytes::from))),
        };
        let routes =
            manifest.routes().filter_map(|(route, trigger)| Some((route.to_owned(), target(&trigger.target)?)));
        let router = Router::new(routes)?;
        Ok(Self { router, components, own_address, task_store: options.task_store, stores: options.stores })
    }

    /// Tells the application at which address its host accepts requests. If a component sends a request to its own
    /// application, the request goes to this address.
    pub(crate) fn set_address(&self, address: SocketAddr) {
        _ = self.own_address.set(address);
    }
}

/// The parts of a component's configuration that can contain variables, after the host has replaced each variable by
/// its value.
struct Filled {
    environment: BTreeMap<String, String>,
    allowed_outbound_hosts: AllowedHosts,
}

fn fill(component: &manifest::Component, resolver: &Resolver) -> anyhow::Result<Filled> {
    let filled = |(name, template): (&String, _)| Ok((name.clone(), block_on(resolver.fill(template))?));
    let environment = component.environment.iter().map(filled).collect::<anyhow::Result<_>>()?;
    let mut allowed_outbound_hosts = component.allowed_outbound_hosts.clone();
    for template in &component.templated_outbound_hosts {
        let entry = block_on(resolver.fill(template))?;
        // The reason would show the value, which may be secret.
        let entry = AllowedHost::parse(&entry).ok().with_context(|| {
            format!(
                "\"{template}\" in allowed_outbound_hosts is not SCHEME://HOST:PORT after its variables are filled in"
            )
        })?;
        allowed_outbound_hosts.push(entry);
    }
    Ok(Filled { environment, allowed_outbound_hosts })
}
