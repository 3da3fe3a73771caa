//! Contains the startup code that `epilogue up` and `epilogue worker` share.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use epilogue_manifest::Manifest;
use epilogue_manifest::settings::HostOptions;
use epilogue_manifest::values::{LogFormat, TaskSpans};
use epilogue_spin::key_value::Stores;
use tokio_rustls::TlsAcceptor;
use wasmtime::Engine;

use super::cli::UpArgs;
use super::reload::Reloader;
use super::runtime_config::Runtime;
use super::watch::{Cause, Watching};
use super::{build, dashboard, signals, variables};
use crate::app::version::Replacer;
use crate::app::{App, AppOptions};
use crate::budget::memory;
use crate::component::engine;
use crate::dashboard::{Dashboard, Guard};
use crate::interfaces::wasi::Output;
use crate::process::shutdown::{self, Shutdown};
use crate::reports::Reports;
use crate::server::control::{self, Control};
use crate::server::overview::{Overview, Sources};
use crate::server::{self, progress::Progress, tls};
use crate::tasks::store::TaskStore;
use crate::telemetry::monitor::{self, Gauges, Readiness};
use crate::telemetry::otlp::{GuestLog, Otlp};
use crate::telemetry::{logging, recorder};

/// The state of a process during its startup, before it runs an application.
pub(crate) struct Prepared {
    args: UpArgs,
    pub(crate) manifest: Manifest,
    pub(crate) host: HostOptions,
    pub(crate) engine: Engine,
    /// The largest number of instances: `max-instances`, or a smaller number if the system allows fewer instances.
    instances: NonZeroU32,
    /// The task engine for durable tasks, if there is one.
    pub(crate) task_store: Option<TaskStore>,
    /// The exporters for an OpenTelemetry collector.
    pub(crate) otlp: Otlp,
    readiness: Readiness,
    /// The reports about requests and batches, such as the access log.
    pub(crate) reports: Reports,
    /// The overview of the process, which the host logs on SIGUSR1. The overview is empty until the application is
    /// loaded.
    overview: Arc<OnceLock<Overview>>,
    /// The watched files, if the host runs with `--watch`.
    watching: Option<Watching>,
    causes: Sender<Cause>,
    reloads: Receiver<Cause>,
}

impl Prepared {
    /// Reads the manifest, starts the logs, builds the application if `--build` is set, and opens the task engine. This
    /// function does not load the application.
    ///
    /// # Errors
    ///
    /// Returns an error if the manifest cannot be read, if the build fails, if an option cannot be used, or if the task
    /// engine cannot be opened. The error message gives the reason.
    pub(crate) fn new(args: UpArgs) -> anyhow::Result<Self> {
        let readiness = Readiness::default();
        let (manifest, mut host, otlp) = args.set_up(&readiness)?;
        if args.watch && host.dashboard.is_none() && std::io::stdout().is_terminal() {
            // `--watch` on a terminal means that somebody develops the application.
            host.dashboard = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        }
        let (causes, reloads) = mpsc::channel();
        // The host watches the files before it reads them, so that it sees every later change.
        let watching = args.watch.then(|| Watching::start(&manifest, args.build, causes.clone())).transpose()?;
        let (engine, instances) = engine::engine(host.max_instances)?;
        let task_store = TaskStore::of(&host)?;
        let reports = Reports::new(&host, &otlp);
        Ok(Self {
            args,
            manifest,
            host,
            engine,
            instances,
            task_store,
            otlp,
            readiness,
            reports,
            overview: Arc::default(),
            watching,
            causes,
            reloads,
        })
    }

    /// Loads the application and, for https, its certificate.
    ///
    /// # Errors
    ///
    /// Returns an error if the application cannot run on this host. The error message gives the reason.
    pub(crate) fn load(&self) -> anyhow::Result<(App, Option<TlsAcceptor>)> {
        let (app, tls) =
            self.args.load(&self.engine, &self.manifest, &self.host, self.task_store.clone(), self.otlp.guest_log())?;
        self.args.runtime.set_key_values(&app.stores)?;
        if self.task_store.as_ref().is_some_and(TaskStore::is_shared) {
            self.warn_of_local_stores(&app.stores);
        }
        Ok((app, tls))
    }

    /// Logs a warning for each key-value store that workers on other machines cannot reach.
    fn warn_of_local_stores(&self, stores: &Stores) {
        let mut labels: Vec<_> =
            self.manifest.components.iter().flat_map(|component| &component.key_value_stores).collect();
        labels.retain(|label| stores.backend(label).is_some_and(|backend| !backend.is_shared()));
        labels.sort();
        labels.dedup();
        for label in labels {
            tracing::warn!(
                target: "epilogue::up",
                "the key-value store {label:?} is on this machine only, so a durable task on another machine finds \
                 another store: set type = \"redis\" in [key_value_store.{label}] of the file of --runtime-config-file"
            );
        }
    }

    /// Returns the host's options. If the system allows fewer instances than the setting `max-instances`, the returned
    /// `max_instances` is the number that the system allows.
    pub(crate) fn options(&self) -> HostOptions {
        HostOptions { max_instances: self.instances, ..self.host.clone() }
    }

    /// Starts a thread that handles signals. When SIGTERM or SIGINT arrives, the returned shutdown begins. During the
    /// shutdown, the thread logs how many requests and tasks remain. The thread gets these numbers from `progress`.
    ///
    /// # Errors
    ///
    /// Returns an error if the system cannot start a thread for the signals.
    pub(crate) fn handle_signals(&self, progress: Progress) -> anyhow::Result<Shutdown> {
        let (trigger, shutdown) = shutdown::channel();
        signals::handle(trigger, self.host.grace, progress, self.causes.clone(), self.overview.clone())?;
        Ok(shutdown)
    }

    /// Completes the startup. After this call, the process reports that it is ready, answers `epilogue status`, serves
    /// the dashboard, and can reload the application. Load the application before you call this function.
    ///
    /// # Errors
    ///
    /// Returns an error if the address of the dashboard cannot be used, or if the system cannot start a thread.
    pub(crate) fn ready(
        self,
        shutdown: &Shutdown,
        replacer: Replacer,
        progress: Progress,
    ) -> anyhow::Result<Option<Control>> {
        let options = self.options();
        let Self {
            args,
            host,
            engine,
            task_store,
            otlp,
            readiness,
            reports,
            watching,
            reloads,
            manifest,
            overview: overview_of_signals,
            ..
        } = self;
        let overview = Overview::new(Sources {
            name: manifest.name,
            started: SystemTime::now(),
            options,
            progress,
            live: reports.live,
            engine: engine.clone(),
            task_store: task_store.clone(),
            shutdown: shutdown.clone(),
            replacer: replacer.clone(),
        });
        _ = overview_of_signals.set(overview.clone());
        let control = control::listen(overview.clone()).inspect_err(|error| {
            tracing::warn!(target: "epilogue::up", "`epilogue status` cannot ask this process: {error:#}");
        });
        if let (Some(address), Some(history)) = (host.dashboard, reports.history) {
            let guard = Guard::new(host.dashboard_token.as_deref(), host.dashboard_actions);
            let dashboard =
                Dashboard { host: Some((overview.clone(), history)), task_store: task_store.clone(), guard };
            dashboard::announce(dashboard, address)?;
        }
        let gauges = gauges(overview);
        otlp.set_gauges(gauges.clone())?;
        readiness.loaded(shutdown, gauges);
        let guest_log = otlp.guest_log();
        Reloader { args, engine, host, task_store, guest_log, replacer, watching }.start(reloads)?;
        Ok(control.ok())
    }
}

/// Returns a function that updates the metrics about the current state of the process, such as the number of running
/// tasks.
fn gauges(overview: Overview) -> Gauges {
    Arc::new(move || {
        let overview = overview.clone();
        Box::pin(async move {
            let state = overview.state().await;
            let set = |name: &'static str, value: u64| metrics::gauge!(name).set(value as f64);
            set("epilogue_tasks_active", state.tasks_running.unwrap_or_default() as u64);
            set("epilogue_tasks_waiting", state.tasks_waiting as u64);
            set("epilogue_requests_draining", state.draining as u64);
            for (state, count) in [("in-use", state.instances_in_use), ("idle", state.instances_idle)] {
                metrics::gauge!("epilogue_instances", "state" => state).set(count as f64);
            }
            set("epilogue_versions", state.versions.len() as u64);
            for limit in &state.limits {
                let name = || limit.name.clone();
                metrics::gauge!("epilogue_limit", "limit" => name()).set(limit.limit as f64);
                metrics::gauge!("epilogue_limit_use", "limit" => name()).set(limit.used as f64);
            }
            if overview.has_task_engine() {
                set("epilogue_task_engine_up", u64::from(state.backlog.is_some()));
            }
            if let Some(durable) = state.backlog {
                let batches = [
                    ("ready", durable.ready),
                    ("delayed", durable.delayed),
                    ("leased", durable.leased),
                    ("dead", durable.dead),
                ];
                for (state, count) in batches {
                    metrics::gauge!("epilogue_backlog", "state" => state).set(count as f64);
                }
            }
        })
    })
}

impl UpArgs {
    /// Reads the manifest, starts the logs and the metrics, and sets the limits on the memory and the open files of the
    /// process. If `--build` is set, also builds the application.
    pub(crate) fn set_up(&self, readiness: &Readiness) -> anyhow::Result<(Manifest, HostOptions, Otlp)> {
        // Errors before the manifest is read need a format too.
        logging::set_format(self.host.log_format.unwrap_or(LogFormat::Text));
        let manifest = self.manifest()?;
        let host = self.host_options(&manifest)?;
        let (otlp, ignored) = Otlp::start(host.task_spans == TaskSpans::Child);
        logging::init(&host, otlp.bridge())?;
        for warning in variables::warnings().iter().chain(&ignored).map(String::as_str).chain(manifest.warnings()) {
            tracing::warn!(target: "epilogue::up", "{warning}");
        }
        host.check()?;
        server::raise_open_files();
        memory::limit_to(&host);
        let served = host.metrics_listen.map(|address| monitor::serve(address, readiness.clone()));
        recorder::install(served.transpose()?, otlp.meters())?;
        if self.build {
            build::build(&manifest, &self.application.component_ids)?;
        }
        Ok((manifest, host, otlp))
    }

    /// Reads the manifest of the application.
    pub(crate) fn manifest(&self) -> anyhow::Result<Manifest> {
        let application = &self.application;
        Manifest::load_profile(&Manifest::find(application.from.as_deref())?, application.profile.as_deref())?
            .select(&application.component_ids)
    }

    /// Returns the host's options. The command line and the `EPILOGUE_…` variables override Spin's environment
    /// variables. Spin's environment variables override the manifest.
    ///
    /// # Errors
    ///
    /// Returns an error if one of Spin's environment variables has a wrong value.
    pub(crate) fn host_options(&self, manifest: &Manifest) -> anyhow::Result<HostOptions> {
        Ok(self.host.clone().over(variables::of_spin()?).over(manifest.host.clone()).resolve())
    }

    /// Loads the application and, for https, its certificate.
    pub(crate) fn load(
        &self,
        engine: &Engine,
        manifest: &Manifest,
        host: &HostOptions,
        task_store: Option<TaskStore>,
        guest_log: Option<GuestLog>,
    ) -> anyhow::Result<(App, Option<TlsAcceptor>)> {
        let tls = match host.tls_files()? {
            Some((certificate, key)) => Some(tls::acceptor(certificate, key)?),
            None => None,
        };
        let Runtime { variables, stores } = self.runtime.resolve(manifest)?;
        let options = AppOptions {
            settings: self.settings.clone(),
            environment: self.env.clone(),
            output: match host.log_format {
                _ if host.quiet => Output::Silent,
                LogFormat::Text => Output::Inherit,
                LogFormat::Json => Output::Json,
            },
            guest_log,
            task_store,
            variables,
            stores,
        };
        Ok((App::load(engine, manifest, options)?, tls))
    }
}
