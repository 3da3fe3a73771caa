//! Converts the host's names of metrics and labels to the names that an OpenTelemetry collector gets.
//!
//! The host's own names are the names that Prometheus uses. If a collector passes the metrics on to Prometheus, the
//! collector converts OpenTelemetry's names back to the host's names.

/// The words that keep the `_`, because OpenTelemetry's names contain these words with a `_`. In all other words, the
/// host replaces each `_` by a `.`. Each entry contains the wrong word with `.`, and then the correct word with `_`.
const WORDS: [(&str, &str); 2] = [("active.requests", "active_requests"), ("status.code", "status_code")];

/// The bounds of the buckets of `http.server.request.duration`, in seconds. OpenTelemetry's conventions define these
/// bounds.
const OF_REQUESTS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// The bounds of the buckets for the times of tasks, in seconds. Tasks can be shorter and longer than requests.
const OF_TASKS: [f64; 12] = [0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0];

/// The names of the histograms, each with the upper bounds of the histogram's buckets in seconds.
pub(crate) const HISTOGRAMS: [(&str, &[f64]); 3] = [
    ("http_server_request_duration_seconds", &OF_REQUESTS),
    ("epilogue_task_duration_seconds", &OF_TASKS),
    ("epilogue_task_wait_seconds", &OF_TASKS),
];

/// Returns the name of a metric for an OpenTelemetry collector. The result does not contain the ending `_total`,
/// `_seconds` or `_bytes`, which the host's name can have.
pub(crate) fn metric(name: &str) -> String {
    let base = ["_total", "_seconds", "_bytes"].iter().find_map(|end| name.strip_suffix(end));
    dotted(base.unwrap_or(name))
}

/// Returns the name of a label for an OpenTelemetry collector.
pub(crate) fn label(name: &str) -> String {
    dotted(name)
}

fn dotted(name: &str) -> String {
    let dotted = name.replace('_', ".");
    WORDS.iter().fold(dotted, |name, (parts, word)| name.replace(parts, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_conventions() {
        for (prometheus, expected) in [
            ("http_server_request_duration_seconds", "http.server.request.duration"),
            ("http_server_active_requests", "http.server.active_requests"),
            ("epilogue_tasks_total", "epilogue.tasks"),
            ("epilogue_task_wait_seconds", "epilogue.task.wait"),
            ("epilogue_limit_use", "epilogue.limit.use"),
        ] {
            assert_eq!(metric(prometheus), expected);
        }
        assert_eq!(label("http_response_status_code"), "http.response.status_code");
        assert_eq!(label("component"), "component");
    }
}
