//! The spans of tasks.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::collector::{Collector, attributes, hex};
use crate::client::get;
use crate::durable::fixture::{Fixture, Kind, ask};
use crate::guests;
use crate::process::{Ended, Process, application, up};

/// How many of these spans have each state.
fn states(spans: &[Span]) -> BTreeMap<String, usize> {
    let mut states = BTreeMap::new();
    for span in spans.iter().filter(|span| span.kind == SpanKind::Consumer as i32) {
        *states.entry(attributes(&span.attributes)["epilogue.task.state"].clone()).or_default() += 1;
    }
    states
}

/// How many tasks ended in each state, as the log says.
fn logged_states(ended: &Ended) -> BTreeMap<String, usize> {
    let mut states = BTreeMap::new();
    for line in ended.stderr.iter().filter(|line| line.contains("epilogue::task: ") && line.contains("state=\"")) {
        let state = line.split_once("state=\"").and_then(|(_, rest)| rest.split_once('"')).unwrap().0;
        *states.entry(state.to_owned()).or_default() += 1;
    }
    states
}

#[test]
fn s3_each_task_has_one_span_in_every_state() {
    let (collector, app) = (Collector::start(), application(guests::TASKS, ""));
    let host = Process::start(collector.receives(up(app.path(), [])));
    for path in [
        "/?run=ok,fail,ok",
        "/?run=panic,closure&on_failure=continue",
        "/?run=closure,panic,closure,ok&on_failure=continue",
        "/?run=sleep,ok&within=50&on_failure=continue",
        "/?run=ok,ok&when=failure",
    ] {
        get(host.address(), path);
    }
    host.signal("TERM");
    let ended = host.ended();
    let spans = collector.all_spans();
    let expected = logged_states(&ended);
    for state in ["succeeded", "failed", "trapped", "timed-out", "skipped", "discarded", "abandoned"] {
        assert!(expected.contains_key(state), "{state} in {expected:?}");
    }
    assert_eq!(states(&spans), expected);

    // The span of a task that did not run has no length.
    for span in spans.iter().filter(|span| span.kind == SpanKind::Consumer as i32) {
        let attributes = attributes(&span.attributes);
        let ran = attributes.contains_key("epilogue.task.attempt");
        assert_eq!(span.end_time_unix_nano > span.start_time_unix_nano, ran, "{span:#?}");
    }
}

#[test]
fn a_task_that_was_cancelled_has_a_span() {
    let (collector, app) = (Collector::start(), application(guests::CANCEL, ""));
    let host = Process::start(collector.receives(up(app.path(), [])));
    get(host.address(), "/");
    host.signal("TERM");
    let ended = host.ended();
    let spans = collector.all_spans();
    assert_eq!(states(&spans), logged_states(&ended));
    assert!(states(&spans)["cancelled"] > 0);
}

#[test]
fn task_spans_can_be_children() {
    let (collector, app) = (Collector::start(), application(guests::IDENTITY, ""));
    let host = Process::start(collector.receives(up(app.path(), ["--task-spans", "child"])));
    get(host.address(), "/");
    let server = collector.spans(SpanKind::Server, 1).remove(0);
    for task in collector.spans(SpanKind::Consumer, 2) {
        assert_eq!((&task.trace_id, &task.parent_span_id), (&server.trace_id, &server.span_id));
        assert_eq!(task.links, []);
    }
}

#[test]
fn each_attempt_of_a_task_that_is_retried_has_a_span() {
    let (collector, app) = (Collector::start(), application(guests::TASKS, ""));
    let host = Process::start(collector.receives(up(app.path(), [])));
    get(host.address(), "/?run=shaky&backoff=1");
    let task = collector.spans(SpanKind::Consumer, 1).remove(0);
    let attempts = collector.spans(SpanKind::Internal, 2);
    assert_eq!(attempts.iter().map(|span| span.name.as_str()).collect::<Vec<_>>(), ["attempt 1", "attempt 2"]);
    let fresh: Vec<_> =
        attempts.iter().map(|span| attributes(&span.attributes)["epilogue.instance.fresh"].clone()).collect();
    assert_eq!(fresh, ["false", "true"], "the first attempt has lost its instance");
    assert!(attempts.iter().all(|span| span.parent_span_id == task.span_id));
    assert_eq!(attributes(&attempts[0].attributes)["error.type"], "trapped");
    assert_eq!(attributes(&task.attributes)["epilogue.task.state"], "succeeded");
}

#[test]
fn a_durable_task_carries_the_trace_into_the_worker() {
    let (collector, fixture) = (Collector::start(), Fixture::new(Kind::Sqlite));
    let host = Process::start(collector.receives(fixture.host_command()));
    ask(host.address(), "run=ok,nested");
    let producers = collector.spans(SpanKind::Producer, 2);
    let server = collector.spans(SpanKind::Server, 1).remove(0);
    for producer in &producers {
        assert_eq!((&producer.trace_id, &producer.parent_span_id), (&server.trace_id, &server.span_id));
        let attributes = attributes(&producer.attributes);
        assert_eq!(attributes["messaging.operation.type"], "send");
        assert_eq!(attributes["epilogue.task.state"], "stored");
    }

    let worker = Process::start(collector.receives(fixture.worker_command([])));
    // The task `nested` adds two more, of which one is stored and one runs at once.
    let tasks = collector.spans(SpanKind::Consumer, 4);
    let producers = collector.spans(SpanKind::Producer, 3);
    for task in &tasks {
        assert_eq!(task.trace_id, server.trace_id);
        let [link] = &task.links[..] else { panic!("a task should have one link") };
        let attributes = attributes(&task.attributes);
        assert_eq!(attributes["epilogue.task.state"], "succeeded");
        let origin = producers.iter().find(|producer| producer.span_id == link.span_id);
        match attributes.get("messaging.operation.type") {
            Some(operation) => {
                assert_eq!(operation, "process");
                let origin = origin.expect("a durable task should be linked to its storing");
                assert_eq!(origin.name, task.name);
            }
            None => assert_eq!(hex(&link.span_id), hex(&server.span_id), "a task of a task belongs to the request"),
        }
    }
    worker.signal("TERM");
    assert_eq!(worker.ended().code, Some(0));
    assert_eq!(states(&collector.all_spans()), BTreeMap::from([("succeeded".to_owned(), 4)]));
}
