//! `epilogue up`: load the application, serve it, and end it in order.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::mpsc;

use tokio_rustls::TlsAcceptor;
use wasmtime::Engine;

use crate::app::{App, AppOptions, TaskStore};
use crate::commands::build;
use crate::commands::cli::UpArgs;
use crate::commands::reload::Reloader;
use crate::commands::signals;
use crate::commands::variables;
use crate::commands::watch::Watching;
use crate::component::Output;
use crate::component::engine;
use epilogue_manifest::Manifest;
use crate::process::shutdown;
use crate::server::tls;
use crate::server::{self, Server};
use epilogue_manifest::settings::HostOptions;
use crate::telemetry::logging;
use crate::telemetry::monitor::{self, Readiness};
use epilogue_manifest::values::LogFormat;

/// Runs an application until a signal ends it.
///
/// # Errors
///
/// If it cannot run; the message says why.
pub fn up(args: UpArgs) -> anyhow::Result<ExitCode> {
    let readiness = Readiness::default();
    let (manifest, host) = args.set_up(&readiness)?;
    let (causes, reloads) = mpsc::channel();
    // Before the files are read: a change from then on is seen.
    let watching = args.watch.then(|| Watching::start(&manifest, args.build, causes.clone())).transpose()?;
    let engine = engine::engine(host.max_instances)?;
    let store = TaskStore::of(&host)?;
    let (app, tls) = args.load(&engine, &manifest, &host, store.clone())?;
    let server = Server::bind(app, host.clone(), tls)?;
    let (trigger, shutdown) = shutdown::channel();
    signals::handle(trigger, host.grace, server.progress(), causes)?;
    announce(&manifest, &server.url());
    readiness.loaded(&shutdown);
    Reloader { args, engine, host, store, replacer: server.replacer(), watching }.start(reloads)?;
    let summary = server.run(shutdown)?;
    tracing::info!(
        target: "epilogue::up", "stopped after {} requests and {} tasks; the stop abandoned {} of them",
        summary.requests,
        summary.tasks,
        summary.abandoned_at_stop
    );
    Ok(summary.exit_code())
}

impl UpArgs {
    /// What comes before the application is loaded: logs, its build, and what the process needs.
    pub(crate) fn set_up(&self, readiness: &Readiness) -> anyhow::Result<(Manifest, HostOptions)> {
        // For what goes wrong before the manifest has said it.
        logging::set_format(self.host.log_format.unwrap_or(LogFormat::Text));
        let manifest = self.manifest()?;
        let host = self.host_options(&manifest);
        logging::init(&host)?;
        for warning in variables::warnings().iter().map(String::as_str).chain(manifest.warnings()) {
            tracing::warn!(target: "epilogue::up", "{warning}");
        }
        host.check()?;
        server::raise_open_files();
        if let Some(address) = host.metrics_listen {
            monitor::serve(address, readiness.clone())?;
        }
        if self.build {
            build::build(&manifest, &self.application.component_ids)?;
        }
        Ok((manifest, host))
    }

    /// The application as its manifest describes it now.
    pub(crate) fn manifest(&self) -> anyhow::Result<Manifest> {
        let application = &self.application;
        Manifest::load(&Manifest::find(application.from.as_deref())?)?.select(&application.component_ids)
    }

    /// The host's options: those of the command line and, where it has none, the manifest's.
    pub(crate) fn host_options(&self, manifest: &Manifest) -> HostOptions {
        self.host.clone().over(manifest.host.clone()).resolve()
    }

    /// The application and, for https, its certificate.
    pub(crate) fn load(
        &self,
        engine: &Engine,
        manifest: &Manifest,
        host: &HostOptions,
        store: Option<TaskStore>,
    ) -> anyhow::Result<(App, Option<TlsAcceptor>)> {
        let tls = match host.tls_files()? {
            Some((certificate, key)) => Some(tls::acceptor(certificate, key)?),
            None => None,
        };
        let options = AppOptions {
            settings: self.settings.clone(),
            environment: self.env.clone(),
            output: match host.log_format {
                _ if host.quiet => Output::Silent,
                LogFormat::Text => Output::Inherit,
                LogFormat::Json => Output::Json,
            },
            store,
        };
        Ok((App::load(engine, manifest, options)?, tls))
    }
}

/// The first line is for programs: it says where the application is.
fn announce(manifest: &Manifest, url: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody reads it: then nobody misses it.
    _ = writeln!(out, "Serving {url}");
    _ = writeln!(out, "Available Routes:");
    for (route, trigger) in manifest.routes() {
        let id = &trigger.component;
        match route.strip_suffix("/...").or(route.strip_suffix("/*")) {
            Some(base) => _ = writeln!(out, "  {id}: {url}{base} (wildcard)"),
            None => _ = writeln!(out, "  {id}: {url}{route}"),
        }
    }
}
