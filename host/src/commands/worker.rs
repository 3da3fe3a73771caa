//! `epilogue worker`: runs an application's durable tasks, and serves no requests.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use super::cli::UpArgs;
use super::prepare::Prepared;
use crate::app::version::Replacer;
use crate::process::threads;
use crate::request::admission::Admission;
use crate::server::chained;
use crate::server::progress::{Count, Progress};
use crate::server::thread::Host;
use crate::tasks::observer::Observer;
use crate::worker::Workers;

/// Runs `epilogue worker`: runs an application's durable tasks until a signal stops the worker.
///
/// # Errors
///
/// Returns an error if the application cannot run. The error message gives the reason.
pub(crate) fn worker(args: UpArgs) -> anyhow::Result<ExitCode> {
    let prepared = Prepared::new(args)?;
    let task_store = prepared.task_store.clone();
    let task_store = task_store.context("a worker needs a task engine: use --engine, such as --engine redis://HOST")?;
    let (app, tls) = prepared.load()?;
    let replacer = Replacer::new(app, tls, None);
    let (options, grace) = (prepared.options(), prepared.host.grace);
    let observer = Observer::with_readers(prepared.reports.readers.clone());
    let event_loops = Workers::event_loops(&options)?;
    let workers = Workers::new(replacer.versions(), task_store, &options, observer.clone(), event_loops);
    let admission = Admission::new(&options).into();
    let host = Host::new(replacer.versions(), options, observer.clone(), admission);
    let serve_calls = chained::serve_calls(host.into());
    let progress = Progress::of_worker(observer.clone());
    let shutdown = prepared.handle_signals(progress.clone())?;
    let otlp = prepared.otlp.clone();
    let _control = prepared.ready(&shutdown, replacer, progress)?;
    let ended = threads::run(workers.works(&shutdown, &serve_calls), &shutdown, grace);
    ended.inspect_err(|_| otlp.end(Duration::ZERO))?;
    let summary = observer.summary();
    tracing::info!(
        target: "epilogue::work",
        "stopped after {}; the stop abandoned {} of them",
        Count(summary.tasks, "task"),
        summary.abandoned_at_stop
    );
    otlp.end(shutdown.left());
    Ok(summary.exit_code())
}
