//! `epilogue up`: load the application, serve it, and end it in order.

use std::env;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::{App, AppOptions, TaskStore};
use crate::cli::UpArgs;
use crate::component::Output;
use crate::manifest::Manifest;
use crate::server::{self, Server};
use crate::shutdown::{self, ShutdownTrigger};
use crate::{builder, engine, logging, tls};

/// The exit code of a host that had to abandon tasks.
pub(crate) const ABANDONED: u8 = 3;
/// How long after the end of the grace the process ends by force.
const STUCK: Duration = Duration::from_secs(2);

/// The variable that Spin sets for its plugins: where it is itself.
pub(crate) const SPIN: &str = "SPIN_BIN_PATH";

/// Runs an application until a signal ends it.
///
/// # Errors
///
/// If it cannot run; the message says why.
pub fn up(args: UpArgs) -> anyhow::Result<ExitCode> {
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
    host.check()?;
    server::raise_open_files();
    let tls = match host.tls_files()? {
        Some((certificate, key)) => Some(tls::acceptor(certificate, key)?),
        None => None,
    };
    if let Some(address) = host.metrics_listen {
        logging::serve_metrics(address)?;
    }
    let options = AppOptions {
        settings: args.settings,
        environment: args.env,
        output: if host.quiet { Output::Silent } else { Output::Inherit },
        store: TaskStore::of(&host)?,
    };
    let app = App::load(&engine::engine()?, &manifest, options)?;
    let server = Server::bind(app, host.clone(), tls)?;
    let (trigger, shutdown) = shutdown::channel();
    handle_signals(trigger, host.grace)?;
    announce(&manifest, &server.url());
    let summary = server.run(shutdown)?;
    tracing::info!(
        "stopped after {} requests and {} tasks, {} of them abandoned",
        summary.requests,
        summary.tasks,
        summary.abandoned
    );
    Ok(if summary.abandoned > 0 { ExitCode::from(ABANDONED) } else { ExitCode::SUCCESS })
}

/// The first line is for programs: it says where the application is.
fn announce(manifest: &Manifest, url: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody reads it: then nobody misses it.
    _ = writeln!(out, "Serving {url}");
    _ = writeln!(out, "Available Routes:");
    for (route, trigger) in manifest.routes() {
        let id = &trigger.component;
        match route.strip_suffix("/...") {
            Some(base) => _ = writeln!(out, "  {id}: {url}{base} (wildcard)"),
            None => _ = writeln!(out, "  {id}: {url}{route}"),
        }
    }
}

/// The first SIGINT or SIGTERM begins the shutdown, the second ends it (S13).
///
/// A plugin of Spin gets both for one Ctrl-C: the terminal sends it the first, and Spin the other. There the second is
/// one of the first's kind.
pub(crate) fn handle_signals(trigger: ShutdownTrigger, grace: Duration) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _context = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let by_spin = env::var_os(SPIN).is_some();
    let watch = async move {
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => SignalKind::interrupt(),
                _ = terminate.recv() => SignalKind::terminate(),
            }
        };
        let first = next().await;
        trigger.drain(grace);
        // On the side, as all that is written: the stop must not wait for whoever reads stderr.
        tokio::task::spawn_blocking(move || {
            tracing::info!(
                "stopping: requests and tasks have {} to end; another signal stops them at once",
                humantime::format_duration(grace)
            );
        });
        let second = async { while next().await != first && by_spin {} };
        tokio::select! {
            () = tokio::time::sleep(grace) => {}
            () = second => {
                trigger.stop();
                tokio::task::spawn_blocking(|| tracing::warn!("stopping at once"));
            }
        }
        // A thread that is still there is stuck in the host's own code, as in a write to a pipe that nobody reads.
        tokio::time::sleep(STUCK).await;
        std::process::exit(ABANDONED.into());
    };
    let thread = std::thread::Builder::new().name("epilogue-signals".into());
    thread.spawn(move || runtime.block_on(watch)).context("cannot start the signal thread")?;
    Ok(())
}
