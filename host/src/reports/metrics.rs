//! Records metrics of requests and tasks from their timelines. The HTTP metrics have the names and units of
//! OpenTelemetry's semantic conventions, written in the form that Prometheus uses.

use metrics::SharedString;

use super::conventions::{self, OTHER_METHOD};
use crate::reports::names::Names;
use crate::tasks::readers::Reader;
use crate::tasks::timeline::{Asked, Fate, Moment, Timeline};

/// Counts and measures requests and their tasks.
#[derive(Default)]
pub(crate) struct Metrics {
    names: Names,
}

impl Reader for Metrics {
    fn began(&self, timeline: &Timeline, _: &str) {
        at_work(timeline, 1.0);
    }

    fn answered(&self, timeline: &Timeline) {
        duration(timeline, timeline.facts.responded);
    }

    fn sent(&self, timeline: &Timeline) {
        at_work(timeline, -1.0);
        duration(timeline, timeline.facts.sent);
    }

    fn ended(&self, timeline: &Timeline) {
        for task in timeline.tasks() {
            let (Some(end), Some(first)) = (task.end, task.attempts.first()) else { continue };
            let (name, component) = (self.names.label(task.name).to_owned(), task.component.to_owned());
            let wait = timeline.wait(task, first.began);
            let took = end.at.since(first.began);
            let labels =
                [("component", SharedString::from(component.clone())), ("name", SharedString::from(name.clone()))];
            metrics::histogram!("epilogue_task_wait_seconds", &labels).record(wait);
            metrics::counter!("epilogue_task_attempts_total", &labels).increment(task.attempts.len() as u64);
            let state = match end.fate {
                Fate::Ended(state) | Fate::Dead(state) => state.as_str(),
                Fate::Stored => continue,
            };
            metrics::histogram!("epilogue_task_duration_seconds", "component" => component, "name" => name, "state" => state)
                .record(took);
        }
    }
}

/// Adds `by` to the metric for the number of requests whose response is not sent yet.
fn at_work(timeline: &Timeline, by: f64) {
    let Some(asked) = &timeline.facts.asked else { return };
    metrics::gauge!("http_server_active_requests", "http_request_method" => method(timeline, asked), "url_scheme" => asked.scheme())
        .increment(by);
}

/// Records the time from a request's arrival to the end of the response.
fn duration(timeline: &Timeline, end: Option<Moment>) {
    let (Some(asked), Some(end)) = (&timeline.facts.asked, end) else { return };
    metrics::histogram!(
        "http_server_request_duration_seconds",
        "http_request_method" => method(timeline, asked),
        "http_response_status_code" => timeline.facts.status.to_string(),
        "http_route" => timeline.text(asked.route).to_owned(),
        "network_protocol_version" => asked.protocol_version(),
        "url_scheme" => asked.scheme(),
    )
    .record(end.since_arrival());
}

fn method(timeline: &Timeline, asked: &Asked) -> &'static str {
    conventions::method(timeline.text(asked.method)).unwrap_or(OTHER_METHOD)
}
