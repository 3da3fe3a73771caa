//! `epilogue worker`: run an application's durable tasks, and nothing else of it.

use std::process::ExitCode;
use std::sync::mpsc;

use anyhow::Context as _;

use crate::app::TaskStore;
use crate::cli::UpArgs;
use crate::durable::Workers;
use crate::monitor::Readiness;
use crate::reload::Reloader;
use crate::server::Replacer;
use crate::summary::{Observer, Progress};
use crate::watch::Watching;
use crate::{engine, shutdown, signals, threads};

/// Runs durable tasks until a signal ends it.
///
/// # Errors
///
/// If the application cannot run. The message says why.
pub fn worker(args: UpArgs) -> anyhow::Result<ExitCode> {
    let readiness = Readiness::default();
    let (manifest, host) = args.set_up(&readiness)?;
    let (causes, reloads) = mpsc::channel();
    // Before the files are read: a change from then on is seen.
    let watching = args.watch.then(|| Watching::start(&manifest, args.build, causes.clone())).transpose()?;
    let engine = engine::engine(host.max_instances)?;
    let store =
        TaskStore::of(&host)?.context("a worker needs a task engine: use --engine, such as --engine redis://HOST")?;
    let (app, tls) = args.load(&engine, &manifest, &host, Some(store.clone()))?;
    let replacer = Replacer::new(app, tls, None);
    let (trigger, shutdown) = shutdown::channel();
    let observer = Observer::default();
    let workers = Workers::new(replacer.versions(), store.clone(), &host, observer.clone());
    signals::handle(trigger, host.grace, Progress::of_worker(observer.clone()), causes)?;
    readiness.loaded(&shutdown);
    let grace = host.grace;
    Reloader { args, engine, host, store: Some(store), replacer, watching }.start(reloads)?;
    threads::run(workers.works(&shutdown), &shutdown, grace)?;
    let summary = observer.summary();
    tracing::info!("stopped after {} tasks; the stop abandoned {} of them", summary.tasks, summary.abandoned_at_stop);
    Ok(summary.exit_code())
}
