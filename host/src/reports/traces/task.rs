//! Makes the trace spans of a task. Each task has a span of kind `consumer`, from the task's first attempt to its end.
//! If a task never runs, its `consumer` span has the length zero. If a request stores a task for a worker, the host
//! adds a span of kind `producer` to the request's trace. The worker's `consumer` span has a link to the `producer`
//! span.

use opentelemetry::KeyValue;
use opentelemetry::trace::{Link, SpanContext, SpanKind, Status};
use opentelemetry_sdk::trace::SpanData;

use crate::tasks::record::TaskState;
use crate::tasks::timeline::{Attempt, Fate, TaskTimeline, Timeline};
use crate::telemetry::otlp::trace::{Trace, derived};

/// Returns the number of spans that [`spans`] makes for a task.
pub(super) fn count(task: TaskTimeline<'_>) -> usize {
    1 + attempts(task).len()
}

/// Makes the spans of a task. The first span is for the whole task. If the task was retried, each attempt has one more
/// span.
pub(super) fn spans(timeline: &Timeline, trace: &Trace, task: TaskTimeline<'_>) -> Vec<SpanData> {
    let own = own(timeline, trace, task);
    let attempts = attempts(task).iter().map(|attempt| of_attempt(timeline, trace, &own, attempt));
    attempts.collect::<Vec<_>>().into_iter().chain([own.clone()]).collect()
}

/// Returns the attempts for which the host makes separate spans. If a task has only one attempt, the result is empty,
/// because the task's span already shows the attempt.
fn attempts(task: TaskTimeline<'_>) -> &[Attempt] {
    if task.attempts.len() > 1 { task.attempts } else { &[] }
}

fn own(timeline: &Timeline, trace: &Trace, task: TaskTimeline<'_>) -> SpanData {
    let fate = task.end.map(|end| end.fate);
    let stored = fate == Some(Fate::Stored);
    let end = task.end.map(|end| end.at).or(task.attempts.last().and_then(|attempt| Some(attempt.end?.at)));
    let end = end.unwrap_or_else(|| timeline.now());
    let start = task.attempts.first().map_or(end, |attempt| attempt.began);
    let (context, kind) = match stored {
        true => (trace.stored(task.id), SpanKind::Producer),
        false => (trace.task(task.id), SpanKind::Consumer),
    };
    let times = (timeline.wall(start), timeline.wall(end));
    let mut span = trace.spans.span(context, kind, task.name.to_owned(), times);
    // If the host stores a task before it sends the response, the storing is a part of the request.
    let is_part = stored && timeline.facts.asked.is_some() && timeline.facts.sent.is_none_or(|sent| end <= sent);
    relate(&mut span, trace.origin(task.id), is_part || trace.spans.tasks_are_children);
    span.attributes = attributes(timeline, trace, task, fate);
    let last = task.attempts.last().and_then(|attempt| attempt.end);
    let (state, error) = match fate {
        Some(Fate::Ended(state) | Fate::Dead(state)) => (Some(state), task.error),
        // If the task has no fate, its last attempt has failed, and a worker will retry the task later.
        None => (last.map(|end| end.state), last.and_then(|end| Some(timeline.text(end.error?)))),
        Some(Fate::Stored) => (None, None),
    };
    describe(&mut span, state, error);
    span
}

fn of_attempt(timeline: &Timeline, trace: &Trace, task: &SpanData, attempt: &Attempt) -> SpanData {
    let context = trace.with(derived(task.span_context.span_id(), u64::from(attempt.number)));
    let end = attempt.end.map_or(attempt.began, |end| end.at);
    let times = (timeline.wall(attempt.began), timeline.wall(end));
    let mut span = trace.spans.span(context, SpanKind::Internal, format!("attempt {}", attempt.number), times);
    relate(&mut span, task.span_context.clone(), true);
    span.attributes = vec![
        KeyValue::new("epilogue.task.attempt", i64::from(attempt.number)),
        KeyValue::new("epilogue.instance.fresh", attempt.instance > 0),
    ];
    if let Some(end) = attempt.end {
        describe(&mut span, Some(end.state), end.error.map(|error| timeline.text(error)));
    }
    span
}

/// If `is_child` is true, makes `span` a child of the span `other`. If `is_child` is false, adds a link to `other` to
/// `span`.
fn relate(span: &mut SpanData, other: SpanContext, is_child: bool) {
    if is_child {
        span.parent_span_id = other.span_id();
        span.parent_span_is_remote = other.is_remote();
    } else {
        span.links.links.push(Link::with_context(other));
    }
}

/// If a task or an attempt did not succeed, adds the reason to `span`. If a task is skipped, discarded or cancelled,
/// the span gets the reason but shows no error.
fn describe(span: &mut SpanData, state: Option<TaskState>, error: Option<&str>) {
    let Some(state) = state.filter(|state| *state != TaskState::Succeeded) else { return };
    if state.is_failure() || state == TaskState::Abandoned {
        span.status = Status::error(error.unwrap_or_default().to_owned());
        span.attributes.push(KeyValue::new("error.type", state.as_str()));
    } else if let Some(reason) = error {
        span.attributes.push(KeyValue::new("epilogue.task.reason", reason.to_owned()));
    }
}

fn attributes(timeline: &Timeline, trace: &Trace, task: TaskTimeline<'_>, fate: Option<Fate>) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("epilogue.request.id", timeline.id().to_owned()),
        KeyValue::new("epilogue.component", task.component.to_owned()),
        KeyValue::new("epilogue.task.id", i64::try_from(task.id).unwrap_or(i64::MAX)),
        KeyValue::new("epilogue.task.name", task.name.to_owned()),
    ];
    // If the task has no fate, a worker will retry the task.
    if let Some(fate) = fate {
        attributes.push(KeyValue::new("epilogue.task.state", fate.as_str()));
    }
    if let Some(last) = task.attempts.last() {
        attributes.push(KeyValue::new("epilogue.task.attempt", i64::from(last.number)));
        attributes.push(KeyValue::new("epilogue.instance.fresh", last.instance > 0));
    }
    let durable = fate == Some(Fate::Stored) || trace.is_of_batch(task.id);
    if durable {
        let operation = if fate == Some(Fate::Stored) { "send" } else { "process" };
        attributes.extend([
            KeyValue::new("messaging.system", "epilogue"),
            KeyValue::new("messaging.operation.type", operation),
            KeyValue::new("messaging.operation.name", operation),
            KeyValue::new("messaging.destination.name", task.component.to_owned()),
            KeyValue::new("messaging.message.id", format!("{}:{}", timeline.id(), task.id)),
        ]);
    }
    attributes
}
