//! `epilogue up`: load the application, serve it, and end it in order.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::mpsc;

use tokio_rustls::TlsAcceptor;
use wasmtime::Engine;

use crate::app::{App, AppOptions, TaskStore};
use crate::cli::UpArgs;
use crate::component::Output;
use crate::manifest::Manifest;
use crate::monitor::{self, Readiness};
use crate::reload::Reloader;
use crate::server::{self, Server};
use crate::settings::HostOptions;
use crate::values::LogFormat;
use crate::watch::Watching;
use crate::{builder, engine, logging, shutdown, signals, tls, variables};

/// Runs an application until a signal ends it.
///
/// # Errors
///
/// If the application cannot run. The message says why.
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
        "stopped after {} requests and {} tasks; the stop abandoned {} of them",
        summary.requests,
        summary.tasks,
        summary.abandoned_at_stop
    );
    Ok(summary.exit_code())
}

impl UpArgs {
    /// Prepares the process before the application is loaded: its logs, its limits, and the application's build.
    pub(crate) fn set_up(&self, readiness: &Readiness) -> anyhow::Result<(Manifest, HostOptions)> {
        // For what goes wrong before the manifest has said it.
        logging::set_format(self.host.log_format.unwrap_or(LogFormat::Text));
        let manifest = self.manifest()?;
        let host = self.host_options(&manifest);
        logging::init(&host)?;
        for warning in variables::warnings().iter().map(String::as_str).chain(manifest.warnings()) {
            tracing::warn!("{warning}");
        }
        host.check()?;
        server::raise_open_files();
        if let Some(address) = host.metrics_listen {
            monitor::serve(address, readiness.clone())?;
        }
        if self.build {
            builder::build(&manifest, &self.application.component_ids)?;
        }
        Ok((manifest, host))
    }

    /// The application as its manifest describes it now.
    pub(crate) fn manifest(&self) -> anyhow::Result<Manifest> {
        let application = &self.application;
        Manifest::load(&Manifest::find(application.from.as_deref())?)?.select(&application.component_ids)
    }

    /// The host's options. Those of the command line take precedence over the manifest's.
    pub(crate) fn host_options(&self, manifest: &Manifest) -> HostOptions {
        self.host.clone().over(manifest.host.clone()).resolve()
    }

    /// Loads the application and, for https, its certificate.
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

/// Prints where the application is reached, and its routes. The first line is for programs.
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
