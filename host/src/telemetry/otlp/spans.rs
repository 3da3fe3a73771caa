//! Collects finished spans, and sends the spans to the collector in groups. The host makes the spans of a request from
//! the request's timeline after the response has ended, so spans do not slow down the response.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceId};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SpanData, SpanEvents, SpanExporter, SpanLinks, SpanProcessor as _,
};

use super::losses::{Counted, Losses};
use super::sampler::{sampler, samples};
use super::variables::{NAME, Signal, Variables};

/// Collects finished spans, and sends the spans to the collector.
#[derive(Debug)]
pub(crate) struct Spans {
    processor: BatchSpanProcessor,
    losses: Arc<Losses>,
    sampler: Sampler,
    scope: InstrumentationScope,
    /// True if the span of each task is a child of the request's span. Otherwise, the span of a task only has a link to
    /// the request's span. Some tracing systems cannot follow links, and need child spans.
    pub(crate) tasks_are_children: bool,
}

impl Spans {
    /// Starts the thread that sends spans to `exporter`.
    pub(super) fn start<E: SpanExporter + 'static>(
        exporter: E,
        variables: &mut Variables<'_>,
        resource: &Resource,
        tasks_are_children: bool,
    ) -> Self {
        let room = variables.count("OTEL_BSP_MAX_QUEUE_SIZE").unwrap_or(2048);
        let batch = variables.count("OTEL_BSP_MAX_EXPORT_BATCH_SIZE").unwrap_or(512).min(room);
        let delay = variables.milliseconds("OTEL_BSP_SCHEDULE_DELAY").unwrap_or(Duration::from_secs(5));
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(room)
            .with_max_export_batch_size(batch)
            .with_scheduled_delay(delay)
            .build();
        let losses = Losses::new(Signal::Traces, room);
        let exporter = Counted { exporter, losses: losses.clone() };
        let mut processor = BatchSpanProcessor::new(exporter, config);
        processor.set_resource(resource);
        let scope = InstrumentationScope::builder(NAME).with_version(env!("CARGO_PKG_VERSION")).build();
        Self { processor, losses, sampler: sampler(variables), scope, tasks_are_children }
    }

    /// Reports whether the host traces a request. `parent` is the trace context from the client, if the client has sent
    /// a trace context.
    pub(crate) fn samples(&self, trace: TraceId, parent: Option<&SpanContext>) -> bool {
        samples(&self.sampler, trace, parent)
    }

    /// Sends the `count` spans that `spans` makes. If too many spans are already waiting for the collector, does not
    /// call `spans`, and counts the `count` spans as lost.
    pub(crate) fn send<S: IntoIterator<Item = SpanData>>(&self, count: usize, spans: impl FnOnce() -> S) {
        if count > 0 && self.losses.reserve(count) {
            spans().into_iter().for_each(|span| self.processor.on_end(span));
        }
    }

    /// Makes a span without parent, links and attributes.
    pub(crate) fn span(
        &self,
        context: SpanContext,
        kind: SpanKind,
        name: impl Into<Cow<'static, str>>,
        (start_time, end_time): (SystemTime, SystemTime),
    ) -> SpanData {
        SpanData {
            span_context: context,
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: kind,
            name: name.into(),
            start_time,
            end_time,
            attributes: Vec::<KeyValue>::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        }
    }

    /// Sends all waiting spans, and ends the thread.
    pub(super) fn end(&self, within: Duration) -> OTelSdkResult {
        let ended = self.processor.shutdown_with_timeout(within);
        self.losses.end(&ended);
        ended
    }
}
