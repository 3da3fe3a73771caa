//! `epilogue dashboard`: serves a dashboard that shows the tasks in a task engine. No host needs to run.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;
use clap::builder::BoolishValueParser;
use epilogue_engines::Options;
use epilogue_manifest::settings::HostOverlay;
use tokio::signal::unix::{SignalKind, signal};

use crate::dashboard::{Dashboard, Guard};
use crate::tasks::store::TaskStore;
use crate::telemetry::logging;

/// The options of `epilogue dashboard`.
#[derive(Debug, Args)]
pub(crate) struct DashboardArgs {
    /// URL of the task engine: `sqlite:PATH`, `redis://HOST` or `nats://HOST`.
    #[arg(long, env = "EPILOGUE_ENGINE", value_name = "URL", hide_env_values = true)]
    engine: String,
    /// Address at which the command serves the dashboard. The default is a free port of 127.0.0.1. If other machines
    /// can reach the address, you must also set `--token`.
    #[arg(long, env = "EPILOGUE_DASHBOARD", value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Allow users of the dashboard to retry and to drop dead tasks, which are tasks that failed for good.
    #[arg(long, env = "EPILOGUE_DASHBOARD_ACTIONS", value_parser = BoolishValueParser::new())]
    actions: bool,
    /// Password of the dashboard. If you set a password, open the dashboard at `/?token=TOKEN`.
    #[arg(long, env = "EPILOGUE_DASHBOARD_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// Runs `epilogue dashboard`: serves the dashboard until a signal ends the process.
///
/// # Errors
///
/// Returns an error if the task engine cannot be used, or if the process cannot listen on the address.
pub(crate) fn dashboard(args: &DashboardArgs) -> anyhow::Result<ExitCode> {
    let given =
        HostOverlay { dashboard: Some(args.listen), dashboard_token: args.token.clone(), ..HostOverlay::default() };
    let options = given.resolve();
    options.check()?;
    logging::init(&options, None)?;
    let store = TaskStore::open(&args.engine, Options { operator: true, ..Options::default() })?;
    let guard = Guard::new(args.token.as_deref(), args.actions);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        announce(Dashboard { host: None, task_store: Some(store), guard }, args.listen)?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Starts to serve a dashboard, and prints the dashboard's address.
///
/// # Errors
///
/// Returns an error if the process cannot listen on the address.
pub(crate) fn announce(dashboard: Dashboard, address: SocketAddr) -> anyhow::Result<()> {
    let url = dashboard.serve(address)?;
    // If stdout is closed, there is nobody to tell about the error.
    _ = writeln!(std::io::stdout(), "Dashboard {url}");
    Ok(())
}
