//! Sends the events of the host's log to the collector: one log record for each event. A record about a request
//! contains the request's trace.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry::InstrumentationScope;
use opentelemetry::logs::{AnyValue, LogRecord as _, LoggerProvider as _};
use opentelemetry::trace::{SpanContext, SpanId, TraceId};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{
    BatchConfigBuilder, BatchLogProcessor, LogExporter, LogProcessor, SdkLogRecord, SdkLogger, SdkLoggerProvider,
};
use uuid::Uuid;

use super::guest_log::GuestLog;
use super::losses::{Counted, Losses};
use super::trace::remote;
use super::variables::{NAME, Signal, Variables};

/// The layer of the `tracing` subscriber that makes a log record from each event of the host's log.
pub(crate) type Bridge = OpenTelemetryTracingBridge<SdkLoggerProvider, SdkLogger>;

/// Collects log records, and sends the records to the collector in groups.
pub(super) struct Logs {
    provider: SdkLoggerProvider,
    losses: Arc<Losses>,
    pub(super) places: Arc<Places>,
}

impl Logs {
    /// Starts the thread that sends log records to `exporter`.
    pub(super) fn start<E: LogExporter + 'static>(
        exporter: E,
        variables: &mut Variables<'_>,
        resource: Resource,
    ) -> Self {
        let room = variables.count("OTEL_BLRP_MAX_QUEUE_SIZE").unwrap_or(2048);
        let batch = variables.count("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE").unwrap_or(512).min(room);
        let delay = variables.milliseconds("OTEL_BLRP_SCHEDULE_DELAY").unwrap_or(Duration::from_secs(1));
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(room)
            .with_max_export_batch_size(batch)
            .with_scheduled_delay(delay)
            .build();
        let losses = Losses::new(Signal::Logs, room);
        let exporter = Counted { exporter, losses: losses.clone() };
        let processor = BatchLogProcessor::builder(exporter).with_batch_config(config).build();
        let places = Arc::<Places>::default();
        let processor = Processor { processor, losses: losses.clone(), places: places.clone() };
        let provider = SdkLoggerProvider::builder().with_resource(resource).with_log_processor(processor).build();
        Self { provider, losses, places }
    }

    /// Returns the layer of the `tracing` subscriber that makes a log record from each event of the host's log.
    pub(super) fn bridge(&self) -> Bridge {
        OpenTelemetryTracingBridge::new(&self.provider)
    }

    /// Returns the exporter for the lines that guests print.
    pub(super) fn guest_log(&self) -> GuestLog {
        GuestLog { logger: self.provider.logger(NAME), losses: self.losses.clone() }
    }

    /// Sends all waiting log records, and ends the thread.
    pub(super) fn end(&self, within: Duration) -> OTelSdkResult {
        let ended = self.provider.shutdown_with_timeout(within);
        self.losses.end(&ended);
        ended
    }
}

/// The table that contains the trace of each running request. The key is the request's id.
#[derive(Debug, Default)]
pub(crate) struct Places(Mutex<HashMap<Uuid, SpanContext>>);

impl Places {
    /// Adds a request that begins now. `traceparent` is the header `traceparent` that the guest sees.
    pub(crate) fn begin(&self, request: &str, traceparent: &str) {
        if let (Ok(request), Some(place)) = (Uuid::try_parse(request), remote(traceparent, None)) {
            self.lock().insert(request, place);
        }
    }

    /// Removes a request that has ended.
    pub(crate) fn end(&self, request: &str) {
        if let Ok(request) = Uuid::try_parse(request) {
            self.lock().remove(&request);
        }
    }

    /// Returns the trace context of the request that the log record is about. Returns `None` if the log record contains
    /// no id of a running request.
    fn of(&self, record: &SdkLogRecord) -> Option<SpanContext> {
        let (_, request) = record.attributes_iter().find(|(key, _)| key.as_str() == "request")?;
        let AnyValue::String(request) = request else { return None };
        self.lock().get(&Uuid::try_parse(request.as_str()).ok()?).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, SpanContext>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the trace that a log record names in its attribute `trace_id`.
fn named_trace(record: &SdkLogRecord) -> Option<TraceId> {
    let (_, trace) = record.attributes_iter().find(|(key, _)| key.as_str() == "trace_id")?;
    let AnyValue::String(trace) = trace else { return None };
    TraceId::from_hex(trace.as_str()).ok()
}

/// Adds the request's trace to each log record about a request, and counts the records that wait for the collector.
#[derive(Debug)]
struct Processor {
    processor: BatchLogProcessor,
    losses: Arc<Losses>,
    places: Arc<Places>,
}

impl LogProcessor for Processor {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        if !self.losses.reserve(1) {
            return;
        }
        if record.trace_context().is_none() {
            if let Some(place) = self.places.of(record) {
                record.set_trace_context(place.trace_id(), place.span_id(), Some(place.trace_flags()));
            } else if let Some(trace) = named_trace(record) {
                // The request has no span yet, or no longer.
                record.set_trace_context(trace, SpanId::INVALID, None);
            }
        }
        // If a record has no body, most tools show an empty line.
        if record.body().is_none()
            && let Some(target) = record.target().cloned()
        {
            record.set_body(AnyValue::from(target.into_owned()));
        }
        self.processor.emit(record, scope);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.processor.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.processor.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.processor.set_resource(resource);
    }
}
