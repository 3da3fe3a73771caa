//! Reloads the application: the host reads the manifest and the components again. The old version of the application
//! finishes the running requests and tasks.
//!
//! If the new version cannot be loaded, the host logs the reason, and keeps the old version.

use std::collections::BTreeSet;
use std::iter;
use std::sync::mpsc::Receiver;

use anyhow::Context as _;
use epilogue_manifest::settings::HostOptions;
use wasmtime::Engine;

use super::build;
use crate::app::TaskStore;
use crate::app::version::Replacer;
use crate::commands::cli::UpArgs;
use crate::commands::watch::{Cause, Concern, Watching};
use crate::telemetry::otlp::GuestLog;

/// Replaces the application of a running server or worker.
pub(crate) struct Reloader {
    pub(crate) args: UpArgs,
    pub(crate) engine: Engine,
    /// The options with which the host started. A reload does not change these options.
    pub(crate) host: HostOptions,
    /// The task engine for durable tasks. A reload keeps the same task engine.
    pub(crate) task_store: Option<TaskStore>,
    /// Sends the output of guests to an OpenTelemetry collector: one log record for each line. A reload keeps the same
    /// collector.
    pub(crate) guest_log: Option<GuestLog>,
    pub(crate) replacer: Replacer,
    /// The watched files, if the host runs with `--watch`.
    pub(crate) watching: Option<Watching>,
}

impl Reloader {
    /// Starts the thread that reloads the application and builds changed components. The thread acts when `causes`
    /// receives a cause, such as SIGHUP or a changed file.
    pub(crate) fn start(mut self, causes: Receiver<Cause>) -> anyhow::Result<()> {
        let work = move || {
            while let Ok(first) = causes.recv() {
                // One reload handles all causes that `causes` has received meanwhile.
                let all: Vec<Cause> = iter::once(first).chain(causes.try_iter()).collect();
                if let Err(error) = self.heed(all) {
                    tracing::error!(target: "epilogue::reload", "{error:#}; the old version keeps running");
                }
            }
        };
        std::thread::Builder::new()
            .name("epilogue-reload".into())
            .spawn(work)
            .context("cannot start the reload thread")?;
        Ok(())
    }

    fn heed(&mut self, causes: Vec<Cause>) -> anyhow::Result<()> {
        let (mut reload, mut build, mut changed) = (false, BTreeSet::new(), None);
        for cause in causes {
            let Cause::Files(files) = cause else {
                reload = true;
                continue;
            };
            for file in files {
                let Some(watching) = &self.watching else { continue };
                match watching.concern(&file) {
                    Some(Concern::Loaded) => reload = true,
                    Some(Concern::Built(components)) => {
                        build.extend(components);
                        changed.get_or_insert_with(|| watching.name(&file));
                    }
                    None => {}
                }
            }
        }
        if let Some(changed) = changed {
            tracing::info!(target: "epilogue::reload", "rebuilding because {changed} changed");
            let components: Vec<String> = build.into_iter().collect();
            build::build(&self.args.manifest()?, &components)?;
            tracing::info!(target: "epilogue::reload", "rebuilt {}", components.join(", "));
            // If the build changes a component's file, this change causes a reload.
        }
        if reload {
            let reloaded = self.reload().context("cannot reload the application");
            let result = if reloaded.is_ok() { "ok" } else { "failed" };
            metrics::counter!("epilogue_reloads_total", "result" => result).increment(1);
            reloaded?;
        }
        Ok(())
    }

    fn reload(&mut self) -> anyhow::Result<()> {
        let manifest = self.args.manifest()?;
        if let Some(watching) = &mut self.watching {
            // The host must watch the new files before it reads them. If a file is wrong, its correction then causes a
            // reload.
            watching.follow(&manifest)?;
        }
        let host = self.args.host_options(&manifest)?;
        host.check()?;
        let (app, tls) =
            self.args.load(&self.engine, &manifest, &host, self.task_store.clone(), self.guest_log.clone())?;
        for warning in manifest.warnings() {
            tracing::warn!(target: "epilogue::reload", "{warning}");
        }
        let fixed = self.fixed(&host);
        if !fixed.is_empty() {
            tracing::warn!(target: "epilogue::reload", "{} cannot change while the host runs: restart it", fixed.join(", "));
        }
        self.replacer.replace(app, tls);
        let components = match manifest.services().len() {
            1 => "1 component".to_owned(),
            several => format!("{several} components"),
        };
        tracing::info!(target: "epilogue::reload", "reloaded {} ({components})", manifest.name);
        Ok(())
    }

    /// Returns the names of the options whose new value in `host` has no effect, because a reload does not change the
    /// options of the running host. If the host serves https, leaves out `tls-cert` and `tls-key`, because a reload
    /// does read a new certificate.
    fn fixed(&self, host: &HostOptions) -> Vec<String> {
        let https = |options: &HostOptions| options.tls_cert.is_some();
        let mut differing = self.host.differing(host);
        if https(&self.host) && https(host) {
            differing.retain(|name| !name.starts_with("tls-"));
        }
        differing
    }
}
