//! Converts timelines to JSON for `epilogue status` and the dashboard. Each point in time is a number of microseconds
//! since the request arrived.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::tasks::timeline::{Attempt, Facts, Line, Moment, Outcome, Stream, TaskTimeline, Timeline};
use crate::telemetry::timestamp;

/// The short form of a request or a batch, for one line in a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) id: String,
    /// When the request arrived, as RFC 3339.
    pub(crate) time: String,
    pub(crate) component: String,
    /// True for a batch of durable tasks on a worker. A batch has no method, path, route, status or response.
    pub(crate) batch: bool,
    pub(crate) method: Option<String>,
    pub(crate) path: Option<String>,
    pub(crate) route: Option<String>,
    pub(crate) status: Option<u16>,
    pub(crate) outcome: String,
    pub(crate) error: Option<String>,
    pub(crate) phase: Phase,
    pub(crate) responded: Option<u64>,
    pub(crate) sent: Option<u64>,
    pub(crate) ended: Option<u64>,
    /// The time at which the host made this summary.
    pub(crate) now: u64,
    /// The number of tasks in each state, including the states `running` and `waiting`. The value is `None` in a
    /// [`Detail`], because a [`Detail`] lists the tasks themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tasks: Option<BTreeMap<String, usize>>,
}

/// The current phase of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    /// The guest's handler runs.
    Handling,
    /// The host sends the response.
    Sending,
    /// The response is sent. Tasks or teardowns are running or waiting.
    Draining,
    Ended,
}

/// All details of a request or a batch.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Detail {
    #[serde(flatten)]
    pub(crate) summary: Summary,
    trace_id: String,
    client: Option<String>,
    bytes: u64,
    fresh_instances: u32,
    pub(crate) tasks: Vec<TaskView>,
    teardowns: Vec<(u64, Option<u64>)>,
    lines: Vec<LineView>,
    /// The time at which the host began to shut down. The value is `None` if the shutdown did not begin before the
    /// request's end.
    pub(crate) stop: Option<u64>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct TaskView {
    id: u64,
    name: String,
    component: String,
    added: u64,
    /// The longest time that an attempt of the task may take, in microseconds.
    timeout: Option<u64>,
    attempts: Vec<AttemptView>,
    end: Option<EndView>,
}

#[derive(Debug, Clone, Serialize)]
struct AttemptView {
    number: u32,
    began: u64,
    ended: Option<u64>,
    instance: u32,
    state: Option<&'static str>,
    error: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
struct LineView {
    at: u64,
    task: Option<u64>,
    stream: Stream,
    text: String,
}

#[derive(Debug, Clone, Serialize)]
struct EndView {
    at: u64,
    state: &'static str,
    error: Option<String>,
}

impl Summary {
    pub(crate) fn of(timeline: &Timeline) -> Self {
        let asked = timeline.facts.asked.as_ref();
        let mut tasks: BTreeMap<String, usize> = BTreeMap::new();
        for task in timeline.tasks() {
            *tasks.entry(state(task).to_owned()).or_default() += 1;
        }
        let (outcome, error) = outcome(timeline);
        Self {
            id: timeline.id().to_owned(),
            time: timestamp::of(timeline.facts.time),
            component: timeline.component().to_owned(),
            batch: asked.is_none(),
            method: asked.map(|asked| timeline.text(asked.method).to_owned()),
            path: asked.map(|asked| timeline.text(asked.path).to_owned()),
            route: asked.map(|asked| timeline.text(asked.route).to_owned()),
            status: asked.filter(|_| timeline.facts.responded.is_some()).map(|_| timeline.facts.status),
            outcome: outcome.to_owned(),
            error: error.map(str::to_owned),
            phase: phase(timeline),
            responded: timeline.facts.responded.map(Moment::micros),
            sent: timeline.facts.sent.map(Moment::micros),
            ended: timeline.facts.ended.map(Moment::micros),
            now: timeline.facts.ended.unwrap_or_else(|| timeline.now()).micros(),
            tasks: Some(tasks),
        }
    }
}

impl Detail {
    pub(crate) fn of(timeline: &Timeline) -> Self {
        let attempt = |attempt: &Attempt| AttemptView {
            number: attempt.number,
            began: attempt.began.micros(),
            ended: attempt.end.map(|end| end.at.micros()),
            instance: attempt.instance,
            state: attempt.end.map(|end| end.state.as_str()),
            error: attempt.end.and_then(|end| Some(timeline.text(end.error?).to_owned())),
        };
        let task = |task: TaskTimeline<'_>| TaskView {
            id: task.id,
            name: task.name.to_owned(),
            component: task.component.to_owned(),
            added: task.added.micros(),
            timeout: task.timeout.map(|timeout| u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX)),
            attempts: task.attempts.iter().map(attempt).collect(),
            end: task.end.map(|end| EndView {
                at: end.at.micros(),
                state: end.fate.as_str(),
                error: task.error.map(str::to_owned),
            }),
        };
        let line = |line: &Line| LineView {
            at: line.at.micros(),
            task: line.task,
            stream: line.stream,
            text: timeline.text(line.text).to_owned(),
        };
        Self {
            summary: Summary { tasks: None, ..Summary::of(timeline) },
            trace_id: timeline.trace_id().to_owned(),
            client: timeline.facts.asked.as_ref().map(|asked| asked.client.to_string()),
            bytes: timeline.facts.bytes,
            fresh_instances: timeline.facts.fresh_instances,
            tasks: timeline.tasks().map(task).collect(),
            teardowns: timeline
                .teardowns()
                .iter()
                .map(|(start, end)| (start.micros(), end.map(Moment::micros)))
                .collect(),
            lines: timeline.lines().iter().map(line).collect(),
            stop: None,
        }
    }
}

/// Returns the word for a task's state: `running`, `waiting`, or the state in which the task ended.
pub(crate) fn state(task: TaskTimeline<'_>) -> &'static str {
    match task.end {
        Some(end) => end.fate.as_str(),
        None if task.is_running() => "running",
        None => "waiting",
    }
}

/// Returns the word for a response's outcome. If the response or the handler has failed, also returns the reason.
pub(crate) fn outcome(timeline: &Timeline) -> (&'static str, Option<&str>) {
    match timeline.facts.outcome {
        Outcome::Delivered => ("delivered", None),
        Outcome::ClientGone => ("client-gone", None),
        Outcome::ResponseFailed(error) => ("response-failed", Some(timeline.text(error))),
        Outcome::HandlerFailed(error) => ("handler-failed", Some(timeline.text(error))),
    }
}

fn phase(timeline: &Timeline) -> Phase {
    match timeline.facts {
        Facts { ended: Some(_), .. } => Phase::Ended,
        Facts { asked: None, .. } | Facts { sent: Some(_), .. } => Phase::Draining,
        Facts { responded: Some(_), .. } => Phase::Sending,
        _ => Phase::Handling,
    }
}
