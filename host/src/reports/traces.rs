//! Traces of requests and tasks. The host makes the spans from the timeline: the request's span after the response was
//! sent, and the tasks' spans after all tasks have ended.
//!
//! ```text
//! GET /users/:id   ├───────────────┤ sent
//! store write_log                 │                    zero length, a durable task
//! notify                           ╎   ├────────┤      linked to the request's span
//! ```

mod request;
mod task;

use std::sync::Arc;

use opentelemetry_sdk::trace::SpanData;
use uuid::Uuid;

use crate::tasks::readers::Reader;
use crate::tasks::timeline::Timeline;
use crate::telemetry::otlp::spans::Spans;
use crate::telemetry::otlp::trace::Trace;

/// Exports the spans of requests and tasks.
pub(super) struct Traces(pub(super) Arc<Spans>);

impl Reader for Traces {
    fn answered(&self, timeline: &Timeline) {
        let Some(asked) = &timeline.facts.asked else { return };
        let client = asked.traceparent.map(|parent| (timeline.text(parent), None));
        let trace = Trace::of_request(self.0.clone(), client, Uuid::now_v7().as_u128());
        if trace.is_sampled() {
            self.0.send(1, || [request::span(timeline, &trace, asked)]);
        }
    }

    fn sent(&self, timeline: &Timeline) {
        if let Some((trace, asked)) = sampled(timeline).zip(timeline.facts.asked.as_ref()) {
            trace.spans.send(1, || [request::span(timeline, trace, asked)]);
        }
    }

    fn ended(&self, timeline: &Timeline) {
        if let Some(trace) = sampled(timeline) {
            let count = timeline.tasks().map(task::count).sum();
            trace.spans.send(count, || spans(timeline, trace));
        }
    }
}

/// Returns the trace of the request or batch, or `None` if the host does not export the spans of this trace.
fn sampled(timeline: &Timeline) -> Option<&Trace> {
    timeline.trace.as_deref().filter(|trace| trace.is_sampled())
}

fn spans(timeline: &Timeline, trace: &Trace) -> Vec<SpanData> {
    timeline.tasks().flat_map(|task| task::spans(timeline, trace, task)).collect()
}
