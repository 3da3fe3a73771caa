//! Records the trace of each running request, so that exported log records can refer to the trace.

use std::sync::Arc;

use crate::tasks::readers::Reader;
use crate::tasks::timeline::Timeline;
use crate::telemetry::otlp::Places;

/// Remembers the trace of each request from the beginning to the end of the request.
pub(super) struct LogPlaces(pub(super) Arc<Places>);

impl Reader for LogPlaces {
    fn began(&self, timeline: &Timeline, traceparent: &str) {
        self.0.begin(timeline.id(), traceparent);
    }

    fn ended(&self, timeline: &Timeline) {
        self.0.end(timeline.id());
    }
}
