//! Converts timelines to JSON for `epilogue status` and the dashboard. Each point in time is a number of microseconds
//! since the request arrived.

use std::collections::BTreeMap;
use std::time::Instant;

use epilogue_rules::trace;
use serde::{Deserialize, Serialize};

use crate::contract::bindings::ResponseOutcome;
use crate::tasks::timeline::{Attempt, Line, TaskTimeline, Timeline};
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
    stream: &'static str,
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
        let micros = |moment| micros(timeline, moment);
        let asked = timeline.asked.as_ref();
        let mut tasks: BTreeMap<String, usize> = BTreeMap::new();
        for task in &timeline.tasks {
            *tasks.entry(state(task).to_owned()).or_default() += 1;
        }
        let (outcome, error) = outcome(&timeline.outcome);
        Self {
            id: timeline.id.clone(),
            time: timestamp::of(timeline.time),
            component: timeline.component.clone(),
            batch: asked.is_none(),
            method: asked.map(|asked| asked.method.to_string()),
            path: asked.map(|asked| asked.path.clone()),
            route: asked.map(|asked| asked.route.clone()),
            status: asked.filter(|_| timeline.responded.is_some()).map(|_| timeline.status.as_u16()),
            outcome: outcome.to_owned(),
            error: error.map(str::to_owned),
            phase: phase(timeline),
            responded: timeline.responded.map(micros),
            sent: timeline.sent.map(micros),
            ended: timeline.ended.map(micros),
            now: micros(timeline.ended.unwrap_or_else(Instant::now)),
            tasks: Some(tasks),
        }
    }
}

impl Detail {
    pub(crate) fn of(timeline: &Timeline) -> Self {
        let micros = |moment| micros(timeline, moment);
        let attempt = |attempt: &Attempt| AttemptView {
            number: attempt.number,
            began: micros(attempt.began),
            ended: attempt.ended.map(micros),
            instance: attempt.instance,
            state: attempt.result.as_ref().map(|(state, _)| state.as_str()),
            error: attempt.result.as_ref().and_then(|(_, error)| error.clone()),
        };
        let task = |task: &TaskTimeline| TaskView {
            id: task.id,
            name: task.name.clone(),
            component: task.component.to_string(),
            added: micros(task.added),
            timeout: task.timeout.map(|timeout| u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX)),
            attempts: task.attempts.iter().map(attempt).collect(),
            end: task.end.as_ref().map(|end| EndView {
                at: micros(end.at),
                state: end.fate.as_str(),
                error: end.error.clone(),
            }),
        };
        let line = |line: &Line| LineView {
            at: micros(line.at),
            task: line.task,
            stream: line.stream,
            text: line.text.clone(),
        };
        Self {
            summary: Summary { tasks: None, ..Summary::of(timeline) },
            trace_id: trace::id(&timeline.trace_context.traceparent).to_owned(),
            client: timeline.asked.as_ref().map(|asked| asked.client.to_string()),
            bytes: timeline.bytes,
            fresh_instances: timeline.fresh_instances,
            tasks: timeline.tasks.iter().map(task).collect(),
            teardowns: timeline.teardowns.iter().map(|(start, end)| (micros(*start), end.map(micros))).collect(),
            lines: timeline.lines.iter().map(line).collect(),
            stop: None,
        }
    }
}

/// Returns the word for a task's state: `running`, `waiting`, or the state in which the task ended.
pub(crate) fn state(task: &TaskTimeline) -> &'static str {
    match &task.end {
        Some(end) => end.fate.as_str(),
        None if task.is_running() => "running",
        None => "waiting",
    }
}

/// Returns the word for a response's outcome. If the response or the handler has failed, also returns the reason.
pub(crate) fn outcome(outcome: &ResponseOutcome) -> (&'static str, Option<&str>) {
    match outcome {
        ResponseOutcome::Delivered => ("delivered", None),
        ResponseOutcome::ClientGone => ("client-gone", None),
        ResponseOutcome::ResponseFailed(error) => ("response-failed", Some(error)),
        ResponseOutcome::HandlerFailed(error) => ("handler-failed", Some(error)),
    }
}

fn phase(timeline: &Timeline) -> Phase {
    match timeline {
        Timeline { ended: Some(_), .. } => Phase::Ended,
        Timeline { asked: None, .. } | Timeline { sent: Some(_), .. } => Phase::Draining,
        Timeline { responded: Some(_), .. } => Phase::Sending,
        _ => Phase::Handling,
    }
}

fn micros(timeline: &Timeline, moment: Instant) -> u64 {
    u64::try_from(timeline.since_arrival(moment).as_micros()).unwrap_or(u64::MAX)
}
