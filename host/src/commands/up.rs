//! `epilogue up`: loads the application, serves it, and shuts it down.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use epilogue_manifest::Manifest;

use super::cli::UpArgs;
use super::prepare::Prepared;
use crate::server::Server;
use crate::server::progress::Count;

/// Runs `epilogue up`: serves an application until a signal stops the host.
///
/// # Errors
///
/// Returns an error if the application cannot run. The error message gives the reason.
pub(crate) fn up(args: UpArgs) -> anyhow::Result<ExitCode> {
    let prepared = Prepared::new(args)?;
    let (app, tls) = prepared.load()?;
    let server = Server::bind(app, prepared.options(), tls, &prepared.reports)?;
    let shutdown = prepared.handle_signals(server.progress())?;
    announce(&prepared.manifest, &server.url());
    let otlp = prepared.otlp.clone();
    let _control = prepared.ready(&shutdown, server.replacer(), server.progress())?;
    let ended = server.run(shutdown.clone());
    let summary = ended.inspect_err(|_| otlp.end(Duration::ZERO))?;
    tracing::info!(
        target: "epilogue::up",
        "stopped after {} and {}; the stop abandoned {} of them",
        Count(summary.requests, "request"),
        Count(summary.tasks, "task"),
        summary.abandoned_at_stop
    );
    otlp.end(shutdown.left());
    Ok(summary.exit_code())
}

/// Prints the address of the host and the application's routes. The first line always has the form `Serving URL`, so
/// that programs can read the address from the first line.
fn announce(manifest: &Manifest, url: &str) {
    let mut out = std::io::stdout().lock();
    // If stdout is closed, there is nobody to tell about the error.
    _ = writeln!(out, "Serving {url}");
    _ = writeln!(out, "Available Routes:");
    for (route, trigger) in manifest.routes() {
        let id = trigger.name();
        match route.strip_suffix("/...").or(route.strip_suffix("/*")) {
            Some(base) => _ = writeln!(out, "  {id}: {url}{base} (wildcard)"),
            None => _ = writeln!(out, "  {id}: {url}{route}"),
        }
    }
}
