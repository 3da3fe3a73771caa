//! The host's events as log records.

use http::Request;
use http_body_util::Empty;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::collector::{Collector, attributes, hex, text};
use crate::client::{Protocol, exchange, get};
use crate::guests;
use crate::process::{Process, application, up};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

#[test]
fn a_line_that_a_guest_prints_is_a_record_in_the_span_of_its_task() {
    let (collector, app) = (Collector::start(), application(guests::TASKS, ""));
    let host = Process::start(collector.receives(up(app.path(), [])));
    get(host.address(), "/?run=ok,panic&on_failure=continue");
    // The guest's own output is as without a collector.
    host.printed("ok");
    let line = |stream: &'static str, part: &'static str| {
        collector.wait_for(move |kept| {
            let is_it = |record: &&LogRecord| {
                let attributes = attributes(&record.attributes);
                attributes.get("log.iostream").is_some_and(|other| other == stream)
                    && text(record.body.as_ref()).contains(part)
            };
            kept.logs.iter().find(is_it).cloned()
        })
    };
    let spans = collector.spans(SpanKind::Consumer, 2);
    for (number, stream, part) in [(0, "stdout", "ok"), (1, "stderr", "panicked")] {
        let (record, span) = (line(stream, part), &spans[number]);
        assert_eq!((&record.trace_id, &record.span_id), (&span.trace_id, &span.span_id), "{part}");
        let attributes = attributes(&record.attributes);
        assert_eq!((attributes["component"].as_str(), attributes["task"].as_str()), ("app", ["1", "2"][number]));
        assert!(attributes.contains_key("request"));
    }
}

#[test]
fn an_event_about_a_request_is_a_record_in_its_trace() {
    let (collector, app) = (Collector::start(), application(guests::TASKS, ""));
    let host = Process::start(collector.receives(up(app.path(), ["--log", "debug"])));
    // One request begins a trace, and the other one belongs to its client's.
    get(host.address(), "/?run=fail");
    let request = Request::get("/?run=fail").header("traceparent", format!("00-{TRACE}-b7ad6b7169203331-01"));
    exchange(host.address(), Protocol::Http1, request.body(Empty::new()).unwrap());
    let failed =
        |record: &&LogRecord| attributes(&record.attributes).get("state").is_some_and(|state| state == "failed");
    let records = collector.wait_for(|kept| {
        let records: Vec<_> = kept.logs.iter().filter(failed).cloned().collect();
        (records.len() == 2).then_some(records)
    });
    // The requests may run on different threads, so the order of the records is open.
    for server in &collector.spans(SpanKind::Server, 2) {
        let record = records.iter().find(|record| record.trace_id == server.trace_id).unwrap();
        assert_eq!(record.span_id, server.span_id);
        assert_eq!((record.severity_text.as_str(), text(record.body.as_ref()).as_str()), ("WARN", "epilogue::task"));
        assert_eq!(attributes(&record.attributes)["error"], "cannot print: no paper");
    }
    assert_eq!(records.iter().filter(|record| hex(&record.trace_id) == TRACE).count(), 1);
    // When this event comes, the span of the request has ended.
    let ended = |record: &&LogRecord| {
        text(record.body.as_ref()) == "the request and its tasks have ended" && hex(&record.trace_id) == TRACE
    };
    collector.wait_for(|kept| kept.logs.iter().find(ended).cloned());

    host.signal("TERM");
    host.ended();
    let stopped = collector.wait_for(|kept| {
        kept.logs.iter().find(|record| text(record.body.as_ref()).starts_with("stopped after")).cloned()
    });
    assert_eq!(stopped.trace_id, [0; 0], "an event about the host belongs to no trace");
}
