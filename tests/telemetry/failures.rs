//! Collectors that do not take what they are sent. The host goes on, and counts what is lost.

use std::net::TcpListener;

use super::collector::Collector;
use crate::client::get;
use crate::guests;
use crate::monitor;
use crate::process::{Process, application, retry, up};

const LISTEN: [&str; 2] = ["--metrics-listen", "127.0.0.1:0"];

#[test]
fn a_dead_collector_costs_only_what_is_lost_and_that_is_counted() {
    let app = application(guests::TASKS, "");
    let mut command = up(app.path(), LISTEN);
    // Nothing listens there any more.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    command.env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", format!("http://{nobody}/v1/traces"));
    command.env("OTEL_BSP_SCHEDULE_DELAY", "20");
    let host = Process::start(command);
    let monitor = monitor::address(&host);
    for _ in 0..3 {
        get(host.address(), "/?run=ok");
    }
    let warning = host.logged("telemetry was lost, because the collector did not take it");
    assert!(warning.contains("signal=\"traces\""), "{warning}");
    retry(|| {
        let metrics = get(monitor, "/metrics");
        metrics.contains("epilogue_otlp_lost_total{signal=\"traces\"} 6").then_some(())
    });
    host.signal("TERM");
    assert_eq!(host.ended().code, Some(0));
}

#[test]
fn s13_a_stalled_collector_does_not_hold_up_the_end() {
    let (collector, app) = (Collector::stalled(), application(guests::TASKS, ""));
    let mut command = collector.receives(up(app.path(), ["--grace", "2s"]));
    // A full queue, and an answer that would be waited for much longer than the grace.
    command.env("OTEL_BSP_MAX_QUEUE_SIZE", "4").env("OTEL_EXPORTER_OTLP_TIMEOUT", "600000");
    let host = Process::start(command);
    get(host.address(), "/?run=ok");
    collector.asked();
    for _ in 0..10 {
        get(host.address(), "/?run=ok");
    }
    host.signal("TERM");
    let ended = host.ended();
    assert_eq!(ended.code, Some(0), "the end should not be by force: {:#?}", ended.stderr);
    let lost = |line: &&String| line.contains("telemetry was lost") && line.contains("signal=\"traces\"");
    let warning = ended.stderr.iter().find(lost).expect("what is lost should be logged");
    // Two spans for each request.
    assert!(warning.contains("lost=22 "), "{warning}");
}

#[test]
fn what_waits_is_sent_at_the_end() {
    let (collector, app) = (Collector::start(), application(guests::TASKS, ""));
    let mut command = collector.receives(up(app.path(), []));
    command.env("OTEL_BSP_SCHEDULE_DELAY", "3600000").env("OTEL_BLRP_SCHEDULE_DELAY", "3600000");
    command.env("OTEL_METRIC_EXPORT_INTERVAL", "3600000");
    let host = Process::start(command);
    get(host.address(), "/?run=ok");
    host.signal("TERM");
    assert_eq!(host.ended().code, Some(0));
    assert_eq!(collector.all_spans().len(), 2);
    collector.wait_for(|kept| (!kept.metrics.is_empty()).then_some(()));
    collector.wait_for(|kept| (!kept.logs.is_empty()).then_some(()));
}

#[test]
fn telemetry_can_be_switched_off() {
    let (collector, app) = (Collector::start(), application(guests::TASKS, ""));
    let mut command = collector.receives(up(app.path(), []));
    command.env("OTEL_SDK_DISABLED", "true");
    let host = Process::start(command);
    get(host.address(), "/?run=ok");
    host.signal("TERM");
    assert_eq!(host.ended().code, Some(0));
    assert_eq!(collector.all_spans(), []);
}

#[test]
fn a_protocol_that_is_not_supported_is_named() {
    let (collector, app) = (Collector::start(), application(guests::HELLO, ""));
    let mut command = collector.receives(up(app.path(), []));
    command.env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let host = Process::start(command);
    assert_eq!(get(host.address(), "/"), "Hello, world!");
    host.logged("no traces are exported: OTEL_EXPORTER_OTLP_PROTOCOL is \"grpc\"");
}
