//! What the host says about itself: events on stderr, and metrics over HTTP.

use std::convert::Infallible;
use std::io::{self, IsTerminal as _};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::output::Events;
use crate::settings::HostOptions;
use crate::values::LogFormat;

/// How long one collection of metrics may take.
const SCRAPE: Duration = Duration::from_secs(10);

/// Writes events to stderr from here on. stdout belongs to the guests, and to the address line.
pub(crate) fn init(options: &HostOptions) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&options.log).with_context(|| format!("{:?} is not a log filter", options.log))?;
    // An event that cannot be written is lost. Saying so on stderr too would panic, amid a request or a shutdown.
    let subscriber = fmt().with_env_filter(filter).with_writer(|| Events).log_internal_errors(false);
    match options.log_format {
        LogFormat::Text => subscriber.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => {
            subscriber.json().flatten_event(true).with_current_span(false).with_span_list(false).init();
        }
    }
    Ok(())
}

/// Serves metrics on an address of their own, whatever the path.
pub(crate) fn serve_metrics(address: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).with_context(|| format!("cannot serve metrics on {address}"))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    metrics::set_global_recorder(recorder).context("metrics are already recorded elsewhere")?;
    metrics::describe_counter!("epilogue_events_lost_total", "Events that were not written, since nobody read stderr.");
    metrics::describe_counter!("epilogue_tasks_total", "Tasks that ended, by component and final state.");
    metrics::describe_counter!("epilogue_tasks_stored_total", "Durable tasks that were stored, by component.");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let serve = move || runtime.block_on(answer_scrapes(listener, metrics));
    std::thread::Builder::new().name("epilogue-metrics".into()).spawn(serve).context("cannot start a thread")?;
    tracing::info!("metrics are on http://{address}/metrics");
    Ok(())
}

/// One connection after the other: whoever collects metrics needs no more.
async fn answer_scrapes(listener: TcpListener, metrics: PrometheusHandle) {
    let served = async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            let answer =
                service_fn(async |_| Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(metrics.render()))));
            let connection = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), answer);
            // A client that breaks off misses its own answer only.
            _ = tokio::time::timeout(SCRAPE, connection).await;
        }
    };
    let Err::<Infallible, io::Error>(error) = served.await;
    tracing::error!("metrics are no longer served: {error}");
}
