//! Sends traces, metrics and logs to an OpenTelemetry collector, with OTLP over HTTP. The variables `OTEL_…` configure
//! the export.
//!
//! ```text
//! record ──▶ spans ──┐
//! event ──▶ bridge ──┼─▶ queue ──▶ a thread for each signal ──▶ collector
//! line ───▶ guest log ┤
//! metric ──▶ meters ─┘
//! ```
//!
//! A request never waits for the collector. If no environment variable contains the address of a collector, the host
//! exports nothing.

mod client;
mod guest_log;
mod logs;
mod losses;
mod meters;
mod sampler;
pub(crate) mod spans;
pub(crate) mod trace;
mod variables;

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_otlp::{
    Compression, ExporterBuildError, LogExporter, MetricExporter, Protocol, SpanExporter, WithExportConfig,
    WithHttpConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};

use crate::telemetry::monitor::Gauges;

use self::client::Client;
use self::logs::Logs;
use self::losses::{Counted, Losses};
use self::spans::Spans;
use self::variables::{NAME, Signal, Target, Variables};

pub(crate) use self::guest_log::{GuestLog, GuestStream};
pub(crate) use self::logs::{Bridge, Places};
pub(crate) use self::meters::Meters;

/// The largest age of a gauge's value when the host sends the value to the collector.
const GAUGES: Duration = Duration::from_secs(5);
/// The shortest time limit for sending the remaining telemetry to the collector when the process ends. This minimum
/// applies even if less of the grace period is left.
const LEAST: Duration = Duration::from_secs(1);
/// The longest time limit for sending the remaining telemetry to the collector when the process ends.
const MOST: Duration = Duration::from_secs(5);

/// The exporters of the process, one for each signal: traces, metrics and logs. If no variable names an endpoint for a
/// signal, the signal has no exporter.
#[derive(Clone, Default)]
pub(crate) struct Otlp {
    pub(crate) spans: Option<Arc<Spans>>,
    logs: Option<Arc<Logs>>,
    metrics: Option<(SdkMeterProvider, Duration)>,
}

impl Otlp {
    /// Starts a thread for each signal (traces, metrics or logs) for which an environment variable names an endpoint.
    /// Also returns a warning for each variable that has a bad value. `tasks_are_children` is true if the setting
    /// `task-spans` makes the spans of tasks children of the request's span.
    pub(crate) fn start(tasks_are_children: bool) -> (Self, Vec<String>) {
        let get = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        let mut variables = Variables::new(&get);
        if variables.is_true("OTEL_SDK_DISABLED") {
            return (Self::default(), variables.into_warnings());
        }
        let mut otlp = Self::default();
        for signal in Signal::ALL {
            if let Some(target) = variables.target(signal)
                && let Err(error) = otlp.add(signal, target, &mut variables, tasks_are_children)
            {
                variables.warnings.push(format!("no {} are exported: {error}", signal.name()));
            }
        }
        (otlp, variables.into_warnings())
    }

    fn add(
        &mut self,
        signal: Signal,
        target: Target,
        variables: &mut Variables<'_>,
        tasks_are_children: bool,
    ) -> Result<(), ExporterBuildError> {
        match signal {
            Signal::Traces => {
                let exporter = to(target, SpanExporter::builder().with_http()).build()?;
                self.spans = Some(Spans::start(exporter, variables, &resource(), tasks_are_children).into());
            }
            Signal::Logs => {
                let exporter = to(target, LogExporter::builder().with_http()).build()?;
                self.logs = Some(Logs::start(exporter, variables, resource()).into());
            }
            Signal::Metrics => {
                let exporter = to(target, MetricExporter::builder().with_http()).build()?;
                let exporter = Counted { exporter, losses: Losses::new(signal, usize::MAX) };
                let interval = variables.milliseconds("OTEL_METRIC_EXPORT_INTERVAL").unwrap_or(Duration::from_secs(60));
                let reader = PeriodicReader::builder(exporter).with_interval(interval).build();
                let provider = SdkMeterProvider::builder().with_resource(resource()).with_reader(reader).build();
                self.metrics = Some((provider, interval));
            }
        }
        Ok(())
    }

    /// Returns the log layer that exports the host's events, or `None` if the host exports no logs.
    pub(crate) fn bridge(&self) -> Option<Bridge> {
        self.logs.as_ref().map(|logs| logs.bridge())
    }

    /// Returns the exporter for the lines that guests print. Returns `None` if the host exports no logs.
    pub(crate) fn guest_log(&self) -> Option<GuestLog> {
        self.logs.as_ref().map(|logs| logs.guest_log())
    }

    /// Returns the table that contains the trace of each running request. The host adds the trace of a request to each
    /// log record about the request. Returns `None` if the host exports no logs.
    pub(crate) fn places(&self) -> Option<Arc<Places>> {
        self.logs.as_ref().map(|logs| logs.places.clone())
    }

    /// Returns the recorder that exports the host's metrics, or `None` if the host exports no metrics.
    pub(crate) fn meters(&self) -> Option<Meters> {
        self.metrics.as_ref().map(|(provider, _)| Meters::new(provider.meter(NAME)))
    }

    /// Reports whether the host exports metrics.
    pub(crate) fn has_metrics(&self) -> bool {
        self.metrics.is_some()
    }

    /// Starts a thread that sets the host's gauges at regular intervals, so that each export of metrics has current
    /// values.
    ///
    /// # Errors
    ///
    /// Returns an error if the system cannot start the thread.
    pub(crate) fn set_gauges(&self, gauges: Gauges) -> anyhow::Result<()> {
        let Some((_, interval)) = &self.metrics else { return Ok(()) };
        let interval = (*interval).min(GAUGES);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let set = async move {
            loop {
                gauges().await;
                tokio::time::sleep(interval).await;
            }
        };
        thread::Builder::new().name("epilogue-gauges".to_owned()).spawn(move || runtime.block_on(set))?;
        Ok(())
    }

    /// Sends all waiting telemetry, and ends the exporters' threads. `left` is the time until the end of the shutdown's
    /// grace period. If the collector does not answer in time, the remaining telemetry is lost, and the host counts the
    /// loss.
    pub(crate) fn end(&self, left: Duration) {
        let within = left.clamp(LEAST, MOST);
        // All exporters end at the same time, so that the process waits only once for a collector that does not answer.
        thread::scope(|scope| {
            if let Some(spans) = &self.spans {
                scope.spawn(move || spans.end(within));
            }
            if let Some(logs) = &self.logs {
                scope.spawn(move || logs.end(within));
            }
            if let Some((metrics, _)) = self.metrics.clone() {
                let (ended, waits) = mpsc::channel();
                // The call `shutdown` has its own time limit, which may be longer than `within`.
                thread::spawn(move || _ = ended.send(metrics.shutdown()));
                _ = waits.recv_timeout(within);
            }
        });
    }
}

/// Returns the description of the service, which all exported telemetry contains. `OTEL_SERVICE_NAME` and
/// `OTEL_RESOURCE_ATTRIBUTES` set this description.
fn resource() -> Resource {
    let resource = Resource::builder().build();
    match resource.get(&opentelemetry::Key::from_static_str("service.name")) {
        Some(name) if !name.as_str().starts_with("unknown_service") => resource,
        _ => Resource::builder().with_service_name(NAME).build(),
    }
}

/// Configures an exporter for a collector.
fn to<B: WithExportConfig + WithHttpConfig>(target: Target, exporter: B) -> B {
    let exporter = exporter
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(target.url)
        .with_timeout(target.timeout)
        .with_headers(target.headers)
        .with_http_client(Client::new(target.timeout));
    if target.gzip { exporter.with_compression(Compression::Gzip) } else { exporter }
}
