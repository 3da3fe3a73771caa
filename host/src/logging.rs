//! What the host says about itself: events on stderr, and metrics over HTTP.

use std::io::IsTerminal as _;
use std::net::SocketAddr;

use anyhow::Context as _;
use metrics_exporter_prometheus::PrometheusBuilder;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::settings::HostOptions;
use crate::values::LogFormat;

/// Writes events to stderr from here on. stdout belongs to the guests, and to the address line.
pub(crate) fn init(options: &HostOptions) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&options.log).with_context(|| format!("{:?} is not a log filter", options.log))?;
    // An event that cannot be written is lost. Saying so on stderr too would panic, amid a request or a shutdown.
    let subscriber = fmt().with_env_filter(filter).with_writer(std::io::stderr).log_internal_errors(false);
    match options.log_format {
        LogFormat::Text => subscriber.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => {
            subscriber.json().flatten_event(true).with_current_span(false).with_span_list(false).init();
        }
    }
    Ok(())
}

/// Serves metrics on an address of their own.
pub(crate) fn serve_metrics(address: SocketAddr) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let builder = PrometheusBuilder::new().with_http_listener(address);
    let (recorder, exporter) = {
        let _context = runtime.enter();
        builder.build().with_context(|| format!("cannot serve metrics on {address}"))?
    };
    metrics::set_global_recorder(recorder).context("metrics are already recorded elsewhere")?;
    metrics::describe_counter!("epilogue_tasks_total", "Tasks that ended, by component and final state.");
    let serve = move || {
        if runtime.block_on(exporter).is_err() {
            tracing::error!("metrics are no longer served");
        }
    };
    std::thread::Builder::new().name("epilogue-metrics".into()).spawn(serve).context("cannot start a thread")?;
    Ok(())
}
