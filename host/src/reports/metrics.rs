//! Records metrics of requests and tasks from their timelines. The HTTP metrics have the names and units of
//! OpenTelemetry's semantic conventions, written in the form that Prometheus uses.

use std::sync::Arc;
use std::time::Instant;

use metrics::SharedString;

use super::conventions::{self, OTHER_METHOD, version};
use crate::reports::names::Names;
use crate::tasks::readers::Reader;
use crate::tasks::timeline::{Asked, Fate, Shared, Timeline};

/// Counts and measures requests and their tasks.
#[derive(Default)]
pub(crate) struct Metrics {
    names: Names,
}

impl Reader for Metrics {
    fn began(&self, timeline: &Arc<Shared>) {
        at_work(&timeline.lock(), 1.0);
    }

    fn answered(&self, timeline: &Timeline) {
        duration(timeline, timeline.responded);
    }

    fn sent(&self, timeline: &Timeline) {
        at_work(timeline, -1.0);
        duration(timeline, timeline.sent);
    }

    fn ended(&self, timeline: &Arc<Shared>) {
        let timeline = timeline.lock();
        for task in &timeline.tasks {
            let (Some(end), Some(first)) = (&task.end, task.attempts.first()) else { continue };
            let (name, component) = (self.names.label(&task.name), task.component.clone());
            let wait = timeline.wait(task, first.began);
            let took = end.at.saturating_duration_since(first.began);
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
    let Some(asked) = &timeline.asked else { return };
    metrics::gauge!("http_server_active_requests", "http_request_method" => method(asked), "url_scheme" => asked.scheme)
        .increment(by);
}

/// Records the time from a request's arrival to the end of the response.
fn duration(timeline: &Timeline, end: Option<Instant>) {
    let (Some(asked), Some(end)) = (&timeline.asked, end) else { return };
    metrics::histogram!(
        "http_server_request_duration_seconds",
        "http_request_method" => method(asked),
        "http_response_status_code" => timeline.status.as_str().to_owned(),
        "http_route" => asked.route.clone(),
        "network_protocol_version" => version(asked.version),
        "url_scheme" => asked.scheme,
    )
    .record(timeline.since_arrival(end));
}

fn method(asked: &Asked) -> &'static str {
    conventions::method(&asked.method).unwrap_or(OTHER_METHOD)
}
