//! Loads, checks and compiles a component of the application once, and then makes instances of the component.

pub(crate) mod composition;
pub(crate) mod dependencies;
pub(crate) mod engine;
pub(crate) mod fair;
pub(crate) mod instance;
pub(crate) mod lag;
pub(crate) mod linker;
mod memory;
pub(crate) mod middleware;
pub(crate) mod no_instance;
pub(crate) mod pool;
mod room;
pub(crate) mod state;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use epilogue_manifest::manifest::{Dependency, Middleware};
use epilogue_manifest::settings::{PAGE, Settings};
use epilogue_manifest::values::Size;
use epilogue_spin::key_value::ComponentStores;
use epilogue_spin::unbacked;
use epilogue_spin::variables::ComponentVariables;
use wasmtime::component::{Component as Compiled, InstancePre, Linker};
use wasmtime::{Engine, PoolConcurrencyLimitError, Store};
use wasmtime_wasi_http::handler::Proxy;
use wasmtime_wasi_http::p3::bindings::ServiceIndices;

use crate::budget::Limit;
use crate::budget::instance::{MAX_HANDLES, largest_call};
use crate::budget::lookups::ComponentLookups;
use crate::budget::memory::left_for_instances;
use crate::budget::refusals;
use crate::component::fair::{Purpose, fair};
use crate::component::instance::{Instance, Trap};
use crate::component::no_instance::{Full, NoInstance};
use crate::component::room::is_exhausted;
use crate::component::state::State;
use crate::contract::check::{QUEUE, RUNNER, UNBUILT, check_handler, is_composed, read};
use crate::interfaces::background::Background;
use crate::interfaces::chaining::Chaining;
use crate::interfaces::outgoing::{Outgoing, OwnAddress};
use crate::interfaces::runner::RunnerIndices;
use crate::interfaces::wasi::WasiConfig;
use crate::process::scratch::Scratch;
use crate::process::shutdown::Shutdown;
use crate::tasks::ids::RequestIds;
use crate::tasks::layer::Layer;
use crate::tasks::store::TaskStore;

/// If the host needs longer than this time to compile a component, it logs a message.
const LONG: Duration = Duration::from_secs(2);

/// The configuration of a component: the settings of the component, and the resources that the component may use.
#[derive(Default)]
pub(crate) struct ComponentConfig {
    /// The component's id in the manifest.
    pub(crate) id: String,
    pub(crate) settings: Settings,
    pub(crate) wasi: WasiConfig,
    /// The variables that the component can read.
    pub(crate) variables: ComponentVariables,
    /// The key-value stores that the component may open.
    pub(crate) stores: ComponentStores,
    /// The task engine that stores the component's durable tasks. The value is `None` if the host has no task engine.
    pub(crate) task_store: Option<TaskStore>,
    /// The folder for the copies of the files that the application's components mount. All components share the folder.
    /// The value is `None` if no component mounts files. The host deletes the folder when it drops the last component
    /// that uses the folder.
    pub(crate) scratch: Option<Arc<Scratch>>,
}

/// A loaded component, from which the host makes instances.
pub(crate) struct Component {
    pub(crate) id: String,
    pub(crate) settings: Settings,
    pub(crate) wasi: WasiConfig,
    variables: ComponentVariables,
    stores: ComponentStores,
    pub(crate) task_store: Option<TaskStore>,
    _scratch: Option<Arc<Scratch>>,
    instance: InstancePre<State>,
    handler: ServiceIndices,
    /// The component's layers from the outside in: first each middleware, and then the component itself.
    pub(crate) layers: Arc<[Layer]>,
    /// The `runner` interface that each layer exports, in the order of `layers`. The value is `None` for a layer that
    /// cannot run tasks.
    runners: Vec<Option<RunnerIndices>>,
    own_address: OwnAddress,
    lookups: ComponentLookups,
}

impl Component {
    /// Compiles the component in `file`, or loads the compiled component from the cache, and checks that the host can
    /// run the component. `around` is the component's middleware, from the outside in. `dependencies` are the
    /// components that satisfy the component's imports.
    pub(crate) fn load(
        linker: &Linker<State>,
        file: &Path,
        around: &[Middleware],
        dependencies: &[Dependency],
        config: ComponentConfig,
        own_address: OwnAddress,
    ) -> anyhow::Result<Self> {
        let id = &config.id;
        let engine = linker.engine();
        ensure!(
            config.task_store.is_some() || !config.settings.durable,
            "component {id:?} has durable = true, but no task engine is set: use --engine, such as --engine sqlite:tasks.db"
        );
        let bytes =
            read(file, UNBUILT, "cannot be used").with_context(|| format!("component {id:?} cannot be loaded"))?;
        if is_composed(&bytes) {
            warn_of_composed(id, file, config.task_store.is_some())?;
        }
        let composed = dependencies::compose(dependencies, &bytes, linker).with_context(|| {
            format!("component {id:?} ({}) cannot be composed with its dependencies", file.display())
        })?;
        let (bytes, linker) =
            composed.as_ref().map_or((&bytes, linker), |composed| (&composed.bytes, &composed.linker));
        let joined = match around.is_empty() {
            true => None,
            false => Some(middleware::join(around, file, bytes, linker, config.task_store.is_some())?),
        };
        let (bytes, linker) = joined.as_ref().map_or((bytes, linker), |joined| (&joined.bytes, &joined.linker));
        let compiled =
            compile(engine, id, file, bytes).with_context(|| format!("component {id:?} cannot be loaded"))?;
        let cannot_serve = || format!("component {id:?} ({}) cannot serve requests", file.display());
        // The host checks the export before the imports. If a component is for another WASI version, the error about
        // its export is clearer than an error about its imports.
        check_handler(compiled.component_type().exports(engine).map(|(name, _)| name)).with_context(cannot_serve)?;
        check_memory(&compiled, config.settings.memory)
            .with_context(|| format!("component {id:?} ({}) cannot start", file.display()))?;
        let mut linker = linker.clone();
        unbacked::add_to_linker(&mut linker, &compiled)
            .map_err(anyhow::Error::from)
            .with_context(|| format!("component {id:?} ({}) cannot be linked", file.display()))?;
        let instance = linker.instantiate_pre(&compiled).map_err(anyhow::Error::from).with_context(|| {
            format!(
                "component {id:?} ({}) imports something that this host does not provide; it provides WASI 0.2 and 0.3, \
                 Spin's interfaces, and epilogue:background@0.1.0",
                file.display()
            )
        })?;
        let handler = ServiceIndices::new(&instance).map_err(anyhow::Error::from).with_context(cannot_serve)?;
        let ids = around.iter().map(|middleware| middleware.id.as_str()).chain([id.as_str()]);
        let (layers, runners): (Vec<_>, Vec<_>) = ids
            .enumerate()
            .map(|(place, layer)| find_layer(&compiled, engine, layer, joined.as_ref().map(|_| place)))
            .unzip();
        let ComponentConfig { id, settings, wasi, variables, stores, task_store, scratch: _scratch } = config;
        let (layers, lookups) = (layers.into(), ComponentLookups::default());
        Ok(Self {
            id,
            settings,
            wasi,
            variables,
            stores,
            task_store,
            _scratch,
            instance,
            handler,
            layers,
            runners,
            own_address,
            lookups,
        })
    }

    /// Makes a new instance. Returns an error if the host cannot hold another instance, if the component does not start
    /// within `request_timeout`, or if the host stops.
    pub(crate) async fn instantiate(&self, shutdown: Shutdown, chaining: Chaining) -> Result<Instance, NoInstance> {
        if !left_for_instances() {
            return Err(NoInstance::Full(Full::Memory));
        }
        let limit = self.settings.request_timeout;
        let mut stop = shutdown.clone();
        let started = tokio::select! {
            biased;
            started = tokio::time::timeout(limit, self.start(shutdown, chaining)) => started,
            () = stop.stopped() => return Err(NoInstance::Stopped),
        };
        match started {
            Ok(Ok(instance)) => Ok(instance),
            Ok(Err(error)) if error.is::<PoolConcurrencyLimitError>() => Err(beyond_limit(Full::Instances)),
            Ok(Err(error)) if is_exhausted(&error) => Err(beyond_limit(Full::System(error))),
            Ok(Err(error)) => Err(NoInstance::Failed(error)),
            Err(_) => Err(NoInstance::TimedOut(limit)),
        }
    }

    /// Logs that a request gets no instance. If the host cannot hold another instance, this function also counts the
    /// request as refused. The host then logs each reason at most once a minute, because the host may refuse many
    /// requests.
    pub(crate) fn announce_no_instance(&self, ids: RequestIds<'_>, error: &NoInstance) {
        if let NoInstance::Full(full) = error {
            refusals::count(full.limit());
        }
        let (request, trace_id) = ids.copied();
        let (component, full, error) = (self.id.clone(), error.is_full(), error.to_string());
        let reason = error.clone();
        let log = move |times| {
            tracing::error!(target: "epilogue::request", request, component, times, error, trace_id, "a request has no instance");
        };
        if full { self.wasi.warnings.full.log(&reason, log) } else { log(1) }
    }

    async fn start(&self, shutdown: Shutdown, chaining: Chaining) -> wasmtime::Result<Instance> {
        let (id, lookups) = (&self.id, self.lookups.instance());
        let (hosts, own) = (self.wasi.allowed_hosts.clone(), self.own_address.clone());
        let outgoing = Outgoing::new(id.clone(), hosts, own, chaining, lookups.clone(), self.wasi.warnings.clone());
        let background = Background::new(self.layers.clone(), self.task_store.clone(), shutdown);
        let (wasi, variables, stores) = (self.wasi.open(id, lookups)?, self.variables.clone(), self.stores.clone());
        let state = State::new(wasi, outgoing, variables, stores, background, self.settings.memory.bytes());
        let mut store = Store::new(self.instance.engine(), state);
        store.limiter_async(|state| &mut state.memory);
        store.set_max_component_handles(MAX_HANDLES);
        store.set_hostcall_fuel(largest_call(self.settings.max_task_args, !self.stores.is_empty()));
        // wasmtime checks the deadline while a guest computes. The deadline is always the next epoch, so a computing
        // guest gives its thread to other work at each epoch.
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let instance = match fair(Purpose::Response, Instant::now(), self.instance.instantiate_async(&mut store)).await
        {
            Ok(instance) => instance,
            Err(error) if error.is::<wasmtime::Trap>() => {
                return Err(wasmtime::Error::msg(Trap::new(error, store.data())));
            }
            Err(error) => return Err(error),
        };
        let proxy = Proxy::P3(self.handler.load(&mut store, &instance)?);
        let mut load = |runner: &Option<RunnerIndices>| {
            runner.as_ref().map(|runner| runner.load(&mut store, &instance)).transpose()
        };
        let runners = self.runners.iter().map(&mut load).collect::<wasmtime::Result<_>>()?;
        store.data_mut().memory.start();
        Ok(Instance::new(store, proxy, runners))
    }
}

/// Records that the limit [`Limit::Instances`] was reached, and returns [`NoInstance::Full`] with the reason `full`.
fn beyond_limit(full: Full) -> NoInstance {
    Limit::Instances.hit();
    NoInstance::Full(full)
}

/// Logs a warning about a component that `epilogue compose` has made. Such a component runs its own tasks, so this host
/// cannot see the tasks.
///
/// # Errors
///
/// Returns an error if the host has a task engine, because the host cannot store the tasks of a composed component.
fn warn_of_composed(id: &str, file: &Path, has_task_engine: bool) -> anyhow::Result<()> {
    let advice = "set tool.epilogue.source of the component to the guest's file from before `epilogue compose`";
    ensure!(
        !has_task_engine,
        "component {id:?} ({}) is composed for other hosts and runs its own tasks, so no task engine can store these \
         tasks: {advice}",
        file.display()
    );
    tracing::warn!(
        target: "epilogue::component",
        "component {id:?} is composed for other hosts and runs its own tasks, so this host cannot see these \
         tasks: {advice}"
    );
    Ok(())
}

/// Finds the `runner` interface that the layer `id` exports. If the component has middleware, `place` is the layer's
/// position, where 0 is the outermost layer. If the component has no middleware, `place` is `None`. Logs a warning if
/// the layer can enqueue tasks but cannot run tasks.
fn find_layer(compiled: &Compiled, engine: &Engine, id: &str, place: Option<usize>) -> (Layer, Option<RunnerIndices>) {
    let name = |label: &str, alone: &str| match place {
        Some(place) => middleware::label(label, place),
        None => alone.to_owned(),
    };
    let runner = RunnerIndices::find(compiled, &name("runner", RUNNER));
    if runner.is_none() && imports(engine, compiled, &name("queue", QUEUE)) {
        tracing::warn!(
            target: "epilogue::component",
            "component {id:?} imports epilogue:background/queue but does not export epilogue:background/runner, so it \
             cannot add tasks: build it with the SDK"
        );
    }
    (Layer { id: id.into(), runs_tasks: runner.is_some() }, runner)
}

/// Compiles a component, or loads the compiled component from the cache. If the host needs longer than [`LONG`] to
/// compile the component, it logs a message, so that the user knows what the host is doing.
fn compile(engine: &Engine, id: &str, file: &Path, bytes: &[u8]) -> anyhow::Result<Compiled> {
    let (compiled, waiting) = mpsc::channel::<()>();
    let began = Instant::now();
    thread::scope(|scope| {
        scope.spawn(move || {
            if waiting.recv_timeout(LONG) == Err(RecvTimeoutError::Timeout) {
                tracing::info!(target: "epilogue::app", "compiling component {id:?}, once: the result is cached");
                _ = waiting.recv();
                tracing::info!(target: "epilogue::app", "compiled component {id:?} in {} s", began.elapsed().as_secs());
            }
        });
        let component = Compiled::from_binary(engine, bytes);
        drop(compiled);
        component
    })
    .map_err(anyhow::Error::from)
    .with_context(|| format!("{} is not a valid WebAssembly component", file.display()))
}

/// Checks that the component's initial linear memory is not larger than the limit `memory`.
fn check_memory(component: &Compiled, memory: Size) -> anyhow::Result<()> {
    let pages = component.resources_required().and_then(|required| required.max_initial_memory_size);
    let needed = pages.and_then(|pages| usize::try_from(pages).ok()?.checked_mul(PAGE.bytes())).map(Size::new);
    if let Some(needed) = needed.filter(|needed| *needed > memory) {
        bail!(
            "memory is {memory}, but the component starts with {needed}: set memory to at least {needed}, or better to twice as much"
        );
    }
    Ok(())
}

fn imports(engine: &Engine, component: &Compiled, interface: &str) -> bool {
    component.component_type().imports(engine).any(|(name, _)| name == interface)
}
