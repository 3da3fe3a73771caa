//! The access log: one event for each request. The host logs a request's event when the request and all its tasks have
//! ended. If the host answers a request without a component, the host logs the event at once.

use std::sync::Arc;
use std::time::Instant;

use epilogue_rules::trace;

use super::view;
use crate::tasks::readers::Reader;
use crate::tasks::timeline::{Shared, Timeline};

/// Logs each request as an event with the target `epilogue::access`.
pub(crate) struct AccessLog;

impl Reader for AccessLog {
    fn answered(&self, timeline: &Timeline) {
        log(timeline, "answered");
    }

    fn ended(&self, timeline: &Arc<Shared>) {
        log(&timeline.lock(), "served");
    }
}

fn log(timeline: &Timeline, what: &str) {
    // A batch of durable tasks has no client, so the access log leaves it out.
    let Some(asked) = &timeline.asked else { return };
    let micros = |moment: Option<Instant>| {
        moment.map(|moment| u64::try_from(timeline.since_arrival(moment).as_micros()).unwrap_or(u64::MAX))
    };
    let tasks = |state: &str| {
        let count = timeline.tasks.iter().filter(|task| view::state(task) == state).count();
        (count > 0).then_some(count)
    };
    let (outcome, error) = view::outcome(&timeline.outcome);
    tracing::info!(
        target: "epilogue::access",
        method = asked.method.as_str(),
        path = asked.path,
        status = timeline.status.as_u16(),
        bytes = timeline.bytes,
        headers_us = micros(timeline.responded),
        sent_us = micros(timeline.sent),
        ended_us = micros(timeline.ended),
        outcome,
        error,
        tasks_succeeded = tasks("succeeded"),
        tasks_stored = tasks("stored"),
        tasks_failed = tasks("failed"),
        tasks_trapped = tasks("trapped"),
        tasks_timed_out = tasks("timed-out"),
        tasks_skipped = tasks("skipped"),
        tasks_discarded = tasks("discarded"),
        tasks_cancelled = tasks("cancelled"),
        tasks_abandoned = tasks("abandoned"),
        component = given(&timeline.component),
        route = given(&asked.route),
        client = %asked.client,
        request = given(&timeline.id),
        x_request_id = asked.request_id.as_ref().and_then(|id| id.to_str().ok()),
        trace_id = given(trace::id(&timeline.trace_context.traceparent)),
        "{what}"
    );
}

/// Returns the text, or `None` if the text is empty.
fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
