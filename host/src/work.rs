//! `epilogue worker`: run an application's durable tasks, and nothing else of it.

use std::process::ExitCode;

use anyhow::Context as _;

use crate::app::{App, AppOptions, TaskStore};
use crate::cli::UpArgs;
use crate::component::Output;
use crate::durable::Workers;
use crate::manifest::Manifest;
use crate::summary::Observer;
use crate::up::{ABANDONED, handle_signals};
use crate::{builder, engine, logging, server, shutdown, threads};

/// Runs durable tasks until a signal ends it.
///
/// # Errors
///
/// If it cannot run; the message says why.
pub fn worker(args: UpArgs) -> anyhow::Result<ExitCode> {
    let manifest = Manifest::load(&Manifest::find(args.application.from.as_deref())?)?;
    let manifest = manifest.select(&args.application.component_ids)?;
    let host = args.host.over(manifest.host.clone()).resolve();
    logging::init(&host)?;
    for warning in manifest.warnings() {
        tracing::warn!("{warning}");
    }
    if args.build {
        builder::build(&manifest, &args.application.component_ids)?;
    }
    server::raise_open_files();
    if let Some(address) = host.metrics_listen {
        logging::serve_metrics(address)?;
    }
    let store =
        TaskStore::of(&host)?.context("a worker needs a task engine: use --engine, such as --engine redis://HOST")?;
    let options = AppOptions {
        settings: args.settings,
        environment: args.env,
        output: if host.quiet { Output::Silent } else { Output::Inherit },
        store: Some(store.clone()),
    };
    let app = App::load(&engine::engine()?, &manifest, options)?;
    let (trigger, shutdown) = shutdown::channel();
    handle_signals(trigger, host.grace)?;
    let observer = Observer::default();
    let workers = Workers::new(&app, store, &host, observer.clone());
    threads::run(workers.works(&shutdown), &shutdown, host.grace)?;
    let summary = observer.summary();
    tracing::info!("stopped after {} tasks, {} of them abandoned", summary.tasks, summary.abandoned);
    Ok(if summary.abandoned > 0 { ExitCode::from(ABANDONED) } else { ExitCode::SUCCESS })
}
