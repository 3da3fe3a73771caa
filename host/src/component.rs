//! A component of the application: loaded and checked once, then instantiated as often as needed.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use epilogue_rules::duration::Shown;
use wasmtime::component::{Component as Compiled, InstancePre, Linker};
use wasmtime::{Engine, PoolConcurrencyLimitError, Store};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder};
use wasmtime_wasi_http::handler::Proxy;
use wasmtime_wasi_http::p3::bindings::ServiceIndices;

use crate::background::QUEUE;
use crate::compose::{check_handler, is_composed};
use crate::durable::TaskStore;
use crate::fair::{Purpose, fair};
use crate::instance::{Instance, Trap};
use crate::last_words::LastWords;
use crate::manifest::{Middleware, Mount};
use crate::middleware;
use crate::names;
use crate::outbound::AllowedHosts;
use crate::outgoing::{Outgoing, OwnAddress};
use crate::output::{GuestOutput, Lines, STDERR, STDOUT};
use crate::runner::{RUNNER, RunnerIndices};
use crate::scratch::Scratch;
use crate::settings::{PAGE, Settings};
use crate::shutdown::Shutdown;
use crate::state::State;
use crate::values::Size;
use crate::wasm_file;

/// How many handles one instance may hold. For each of them the host keeps something that does not count as the
/// instance's memory, such as up to 128 KiB of headers. A request takes some ten handles, and so does each request that
/// a guest sends.
const MAX_HANDLES: usize = 4096;

/// What a component may use, and how the host treats it.
#[derive(Default)]
pub(crate) struct ComponentConfig {
    /// The component's id in the manifest.
    pub(crate) id: String,
    /// The middleware around the component, the outermost first.
    pub(crate) middleware: Vec<Middleware>,
    pub(crate) settings: Settings,
    pub(crate) environment: Vec<(String, String)>,
    /// The folder of the component's copied files, which its mounts may be in.
    pub(crate) scratch: Option<Arc<Scratch>>,
    pub(crate) allowed_hosts: AllowedHosts,
    pub(crate) output: Output,
    /// Where the component's durable tasks are stored.
    pub(crate) store: Option<TaskStore>,
}

/// Where a component's stdout and stderr go.
#[derive(Debug, Clone, Default)]
pub enum Output {
    /// Both go to the host's own.
    #[default]
    Inherit,
    /// Both go to the host's own, and each line of stderr becomes an event in JSON.
    Json,
    /// Both are discarded.
    Silent,
    /// Both are kept in memory.
    Captured {
        /// What goes to stdout.
        stdout: MemoryOutputPipe,
        /// What goes to stderr.
        stderr: MemoryOutputPipe,
    },
}

/// A loaded component.
pub(crate) struct Component {
    pub(crate) id: String,
    pub(crate) settings: Settings,
    engine: Engine,
    instance: InstancePre<State>,
    handler: ServiceIndices,
    /// The component's layers: its middleware, the outermost first, and then the component itself.
    pub(crate) layers: Arc<[Layer]>,
    environment: Vec<(String, String)>,
    pub(crate) mounts: Vec<Mount>,
    /// The folder of the component's copied files, which is deleted with the last component that has it.
    _scratch: Option<Arc<Scratch>>,
    allowed_hosts: Arc<AllowedHosts>,
    output: Output,
    own_address: OwnAddress,
    pub(crate) store: Option<TaskStore>,
}

/// One of the components that were built separately and are joined into one: a middleware, or the component itself.
pub(crate) struct Layer {
    /// The layer's id in the manifest.
    pub(crate) id: Arc<str>,
    runner: Option<RunnerIndices>,
}

impl Layer {
    /// Whether the layer can run tasks.
    pub(crate) fn is_runnable(&self) -> bool {
        self.runner.is_some()
    }
}

/// Why there is no instance.
#[derive(Debug)]
pub(crate) enum NoInstance {
    /// The engine has no room for another instance.
    Full,
    /// The host's shutdown ran out of grace.
    Stopped,
    /// The instance took longer than this to start.
    TimedOut(Duration),
    /// The component could not be started.
    Failed(wasmtime::Error),
}

impl NoInstance {
    /// Whether another attempt may succeed a little later.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Full | Self::TimedOut(_))
    }
}

impl fmt::Display for NoInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("there is no room for another instance: max-instances exist"),
            Self::Stopped => f.write_str("the host stopped"),
            Self::TimedOut(limit) => {
                write!(f, "the component cannot be started: that took more than {}", Shown(*limit))
            }
            Self::Failed(error) => write!(f, "the component cannot be started: {error:#}"),
        }
    }
}

impl Component {
    /// Compiles the component in `file`, or takes it from the cache, and checks that it can run here.
    pub(crate) fn load(
        linker: &Linker<State>,
        file: &Path,
        config: ComponentConfig,
        own_address: OwnAddress,
    ) -> anyhow::Result<Self> {
        let id = &config.id;
        let engine = linker.engine();
        ensure!(
            config.store.is_some() || !config.settings.durable,
            "component {id:?} has durable = true, but no task engine is set: use --engine, such as --engine sqlite:tasks.db"
        );
        let bytes = read(file).with_context(|| format!("component {id:?} cannot be loaded"))?;
        if is_composed(&bytes) {
            let advice = "set tool.epilogue.source of the component to the one that it was composed from";
            ensure!(
                config.store.is_none(),
                "component {id:?} ({}) is composed for other hosts and runs its tasks within itself, so that no task engine \
                 can store them: {advice}",
                file.display()
            );
            tracing::warn!(
                "component {id:?} is composed for other hosts and runs its tasks within itself, without what this host does \
                 for them: {advice}"
            );
        }
        let joined = match config.middleware.is_empty() {
            true => None,
            false => Some(middleware::join(&config.middleware, file, &bytes, linker, config.store.is_some())?),
        };
        let (bytes, linker) = joined.as_ref().map_or((&bytes, linker), |joined| (&joined.bytes, &joined.linker));
        let compiled = compile(engine, file, bytes).with_context(|| format!("component {id:?} cannot be loaded"))?;
        let cannot_serve = || format!("component {id:?} ({}) cannot serve requests", file.display());
        // Before its imports: those of another WASI would tell less.
        check_handler(compiled.component_type().exports(engine).map(|(name, _)| name)).with_context(cannot_serve)?;
        check_memory(&compiled, config.settings.memory)
            .with_context(|| format!("component {id:?} ({}) cannot start", file.display()))?;
        let instance = linker.instantiate_pre(&compiled).map_err(anyhow::Error::from).with_context(|| {
            format!(
                "component {id:?} ({}) imports something that this host does not provide; it provides WASI 0.2 and 0.3, \
                 wasi:http@0.3.0, and epilogue:background@0.1.0",
                file.display()
            )
        })?;
        let handler = ServiceIndices::new(&instance).map_err(anyhow::Error::from).with_context(cannot_serve)?;
        let layer = |place: usize, id: &str| {
            let (queue, runner) = match joined {
                Some(_) => (middleware::label("queue", place), middleware::label("runner", place)),
                None => (QUEUE.to_owned(), RUNNER.to_owned()),
            };
            let runner = RunnerIndices::find(&compiled, &runner);
            if runner.is_none() && imports(engine, &compiled, &queue) {
                tracing::warn!(
                    "component {id:?} can enqueue tasks but does not export epilogue:background/runner: none will be accepted"
                );
            }
            Layer { id: id.into(), runner }
        };
        let ids = config.middleware.iter().map(|middleware| &middleware.id).chain([id]);
        let layers = ids.enumerate().map(|(place, id)| layer(place, id)).collect();
        Ok(Self {
            engine: engine.clone(),
            instance,
            handler,
            layers,
            id: config.id,
            settings: config.settings,
            environment: config.environment,
            mounts: Vec::new(),
            _scratch: config.scratch,
            allowed_hosts: Arc::new(config.allowed_hosts),
            output: config.output,
            own_address,
            store: config.store,
        })
    }

    /// Makes a new instance.
    pub(crate) async fn instantiate(&self, shutdown: Shutdown) -> Result<Instance, NoInstance> {
        let limit = self.settings.request_timeout;
        let mut stop = shutdown.clone();
        let started = tokio::select! {
            biased;
            started = tokio::time::timeout(limit, self.start(shutdown)) => started,
            () = stop.stopped() => return Err(NoInstance::Stopped),
        };
        match started {
            Ok(Ok(instance)) => Ok(instance),
            Ok(Err(error)) if error.is::<PoolConcurrencyLimitError>() => Err(NoInstance::Full),
            Ok(Err(error)) => Err(NoInstance::Failed(error)),
            Err(_) => Err(NoInstance::TimedOut(limit)),
        }
    }

    async fn start(&self, shutdown: Shutdown) -> wasmtime::Result<Instance> {
        let mut store = Store::new(&self.engine, State::new(self, shutdown)?);
        store.limiter(|state| &mut state.limits);
        store.set_max_component_handles(MAX_HANDLES);
        // The deadline is the next epoch, again and again: a guest that computes then yields to its thread.
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let instance = match fair(Purpose::Response, self.instance.instantiate_async(&mut store)).await {
            Ok(instance) => instance,
            Err(error) if error.is::<wasmtime::Trap>() => {
                return Err(wasmtime::Error::msg(Trap::new(error, store.data())));
            }
            Err(error) => return Err(error),
        };
        let proxy = Proxy::P3(self.handler.load(&mut store, &instance)?);
        let mut load =
            |layer: &Layer| layer.runner.as_ref().map(|runner| runner.load(&mut store, &instance)).transpose();
        let runners = self.layers.iter().map(&mut load).collect::<wasmtime::Result<_>>()?;
        Ok(Instance::new(store, proxy, runners))
    }

    pub(crate) fn outgoing(&self) -> Outgoing {
        Outgoing::new(self.id.clone(), self.allowed_hosts.clone(), self.own_address.clone())
    }

    /// The stderr of a new instance, if each of its lines is to be an event.
    pub(crate) fn lines(&self) -> Option<Lines> {
        matches!(self.output, Output::Json).then(|| Lines::new(&self.id))
    }

    /// Makes a new instance's view of the system, which has nothing but what the manifest grants.
    pub(crate) fn wasi(&self, lines: Option<&Lines>, words: &LastWords) -> wasmtime::Result<WasiCtx> {
        let mut wasi = WasiCtxBuilder::new();
        wasi.envs(&self.environment);
        let permissions = if self.settings.allow_transient_write { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
        for Mount { host, guest } in &self.mounts {
            wasi.preopened_dir(host, guest, permissions)
                .map_err(|error| error.context(format!("cannot mount {} at {guest:?}", host.display())))?;
        }
        match &self.output {
            Output::Inherit => _ = wasi.stdout(GuestOutput(&STDOUT)).stderr(words.of(GuestOutput(&STDERR))),
            Output::Json => {
                wasi.stdout(GuestOutput(&STDOUT));
                if let Some(lines) = lines {
                    wasi.stderr(words.of(lines.clone()));
                }
            }
            Output::Silent => _ = wasi.stderr(words.of(tokio::io::empty())),
            Output::Captured { stdout, stderr } => _ = wasi.stdout(stdout.clone()).stderr(words.of(stderr.clone())),
        }
        let (hosts, id) = (self.allowed_hosts.clone(), self.id.clone());
        let check = move |scheme, address| {
            let allowed = hosts.allows_socket(scheme, address);
            if !allowed {
                let advice = hosts.advice(&id, scheme, &address.ip().to_canonical().to_string(), Some(address.port()));
                tracing::error!(component = id, "a connection to {scheme}://{address} is not allowed: {advice}");
            }
            allowed
        };
        let allowed = self.allowed_hosts.clone();
        wasi.socket_addr_check(move |address, usage| {
            let allowed = match usage {
                SocketAddrUse::TcpConnect => check("tcp", address),
                SocketAddrUse::UdpSend => check("udp", address),
                // Anybody may send to it: that is not the component's doing.
                SocketAddrUse::UdpReceive => allowed.allows_socket("udp", address),
                // What connecting or sending does first.
                SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => address.ip().is_unspecified() && address.port() == 0,
                // Requests reach a component through the host.
                SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => false,
            };
            Box::pin(async move { allowed })
        });
        // Otherwise the check is never asked.
        wasi.allow_tcp(true).allow_udp(true);
        // Who may connect to nothing needs no name, and could tell its owner something by asking for it.
        wasi.allow_ip_name_lookup(!self.allowed_hosts.is_empty());
        Ok(wasi.build())
    }
}

pub(crate) fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = wasm_file::read(file, "if it is not built yet, run `epilogue build` or add `--build`")?;
    names::check(&bytes).with_context(|| format!("{} cannot be used", file.display()))?;
    Ok(bytes)
}

fn compile(engine: &Engine, file: &Path, bytes: &[u8]) -> anyhow::Result<Compiled> {
    Compiled::from_binary(engine, bytes)
        .map_err(anyhow::Error::from)
        .with_context(|| format!("{} is not a valid WebAssembly component", file.display()))
}

/// Checks that a component of this size can start in `memory`.
fn check_memory(component: &Compiled, memory: Size) -> anyhow::Result<()> {
    let pages = component.resources_required().and_then(|required| required.max_initial_memory_size);
    let needed = pages.and_then(|pages| usize::try_from(pages).ok()?.checked_mul(PAGE.bytes())).map(Size::new);
    if let Some(needed) = needed.filter(|needed| *needed > memory) {
        bail!("memory is {memory}, but it starts with {needed}: set memory to at least that, better to twice as much");
    }
    Ok(())
}

fn imports(engine: &Engine, component: &Compiled, interface: &str) -> bool {
    component.component_type().imports(engine).any(|(name, _)| name == interface)
}
