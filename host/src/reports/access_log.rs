//! The access log: one event for each request. The host logs a request's event when the request and all its tasks have
//! ended. If the host answers a request without a component, the host logs the event at once.

use super::view;
use crate::tasks::readers::Reader;
use crate::tasks::timeline::{Moment, Timeline};

/// Logs each request as an event with the target `epilogue::access`.
pub(crate) struct AccessLog;

impl Reader for AccessLog {
    fn answered(&self, timeline: &Timeline) {
        log(timeline, "answered");
    }

    fn ended(&self, timeline: &Timeline) {
        log(timeline, "served");
    }
}

fn log(timeline: &Timeline, what: &str) {
    // A batch of durable tasks has no client, so the access log leaves it out.
    let Some(asked) = &timeline.facts.asked else { return };
    let tasks = |state: &str| {
        let count = timeline.tasks().filter(|task| view::state(*task) == state).count();
        (count > 0).then_some(count)
    };
    let (outcome, error) = view::outcome(timeline);
    tracing::info!(
        target: "epilogue::access",
        method = timeline.text(asked.method),
        path = timeline.text(asked.path),
        status = timeline.facts.status,
        bytes = timeline.facts.bytes,
        headers_us = timeline.facts.responded.map(Moment::micros),
        sent_us = timeline.facts.sent.map(Moment::micros),
        ended_us = timeline.facts.ended.map(Moment::micros),
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
        component = given(timeline.component()),
        route = given(timeline.text(asked.route)),
        client = %asked.client,
        request = given(timeline.id()),
        x_request_id = asked.request_id.map(|id| timeline.text(id)),
        trace_id = given(timeline.trace_id()),
        "{what}"
    );
}

/// Returns the text, or `None` if the text is empty.
fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
