//! `epilogue worker`: run an application's durable tasks, and nothing else of it.

use std::process::ExitCode;
use std::sync::{Arc, mpsc};

use anyhow::Context as _;
use tokio::sync::watch;

use crate::app::TaskStore;
use crate::cli::UpArgs;
use crate::durable::Workers;
use crate::server::Progress;
use crate::summary::Observer;
use crate::up::ABANDONED;
use crate::worker::Version;
use crate::{engine, shutdown, signals, threads};

/// Runs durable tasks until a signal ends it.
///
/// # Errors
///
/// If it cannot run; the message says why.
pub fn worker(args: UpArgs) -> anyhow::Result<ExitCode> {
    let (manifest, host) = args.set_up()?;
    let store =
        TaskStore::of(&host)?.context("a worker needs a task engine: use --engine, such as --engine redis://HOST")?;
    let (app, tls) = args.load(&engine::engine(host.max_instances)?, &manifest, &host, Some(store.clone()))?;
    let (_, versions) = watch::channel(Arc::new(Version { app, tls }));
    let (trigger, shutdown) = shutdown::channel();
    let observer = Observer::default();
    // It has no reload: whoever sends SIGHUP changes nothing.
    let (causes, _) = mpsc::channel();
    signals::handle(trigger, host.grace, Progress::new(&host, observer.clone()), causes)?;
    let workers = Workers::new(versions, store, &host, observer.clone());
    threads::run(workers.works(&shutdown), &shutdown, host.grace)?;
    let summary = observer.summary();
    tracing::info!("stopped after {} tasks, {} of them abandoned", summary.tasks, summary.abandoned);
    Ok(if summary.abandoned > 0 { ExitCode::from(ABANDONED) } else { ExitCode::SUCCESS })
}
