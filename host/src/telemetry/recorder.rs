//! Sends the host's metrics to `/metrics`, to an OpenTelemetry collector, or to both.

use anyhow::Context as _;
use metrics::Unit;
use metrics_exporter_prometheus::PrometheusRecorder;
use metrics_util::layers::FanoutBuilder;

use crate::telemetry::otlp::Meters;

/// Installs the recorder, which receives all metrics of the process. If both arguments are `None`, installs no
/// recorder, so that metrics take no time.
pub(crate) fn install(prometheus: Option<PrometheusRecorder>, meters: Option<Meters>) -> anyhow::Result<()> {
    let installed = match (prometheus, meters) {
        (None, None) => return Ok(()),
        (Some(prometheus), None) => metrics::set_global_recorder(prometheus).is_ok(),
        (None, Some(meters)) => metrics::set_global_recorder(meters).is_ok(),
        (Some(prometheus), Some(meters)) => {
            let both = FanoutBuilder::default().add_recorder(prometheus).add_recorder(meters).build();
            metrics::set_global_recorder(both).is_ok()
        }
    };
    installed.then_some(()).context("this process already has another metrics recorder")?;
    describe();
    Ok(())
}

fn describe() {
    metrics::describe_counter!(
        "epilogue_events_lost_total",
        "Events that were not written, because nothing read stderr."
    );
    metrics::describe_counter!("epilogue_tasks_total", "Tasks that ended, by component and final state.");
    let dead =
        "Durable tasks that failed for good, by component and cause. A task that an operator retries may count again.";
    metrics::describe_counter!("epilogue_tasks_dead_total", dead);
    metrics::describe_counter!("epilogue_tasks_stored_total", "Durable tasks that were stored, by component.");
    let hits = "Times that a guest or a client reached one of the limits of the host, by limit.";
    metrics::describe_counter!("epilogue_limit_hits_total", hits);
    metrics::describe_counter!("epilogue_requests_refused_total", "Requests that were answered 503, by limit.");
    let lost = "Spans, log records and exports of metrics that the collector did not take, by signal.";
    metrics::describe_counter!("epilogue_otlp_lost_total", lost);
    let duration = "Time from a request's arrival until its whole response was sent.";
    metrics::describe_histogram!("http_server_request_duration_seconds", Unit::Seconds, duration);
    metrics::describe_gauge!("http_server_active_requests", "Requests whose response is not sent yet.");
    let duration = "Time from the start of a task's first attempt to its end, by component, name and final state.";
    metrics::describe_histogram!("epilogue_task_duration_seconds", Unit::Seconds, duration);
    let wait = "Time from the end of the response, or from the moment when the task was added, to the task's start.";
    metrics::describe_histogram!("epilogue_task_wait_seconds", Unit::Seconds, wait);
    metrics::describe_counter!("epilogue_task_attempts_total", "Attempts of tasks, by component and name.");
    metrics::describe_gauge!("epilogue_tasks_active", "Tasks that run in this process.");
    metrics::describe_gauge!("epilogue_tasks_waiting", "Tasks in this process that have not started.");
    metrics::describe_gauge!(
        "epilogue_requests_draining",
        "Requests whose response is sent and whose tasks run or wait."
    );
    metrics::describe_gauge!("epilogue_backlog", "Batches of durable tasks in the task engine, by state.");
    let up = "1 if the task engine has answered within two seconds, 0 otherwise. Missing without a task engine.";
    metrics::describe_gauge!("epilogue_task_engine_up", up);
    metrics::describe_gauge!(
        "epilogue_instances",
        "Instances of components: `in-use` ones run a request or a batch, `idle` ones wait for a request."
    );
    metrics::describe_gauge!("epilogue_limit", "Limits of the host, by name.");
    metrics::describe_gauge!("epilogue_limit_use", "How much of each limit of the host is used, by name.");
    metrics::describe_gauge!("epilogue_versions", "Versions of the application that still serve requests.");
    metrics::describe_counter!("epilogue_reloads_total", "Reloads of the application, by result.");
}
