//! The spans of requests, and of the requests that guests send.

use http::Request;
use http_body_util::Empty;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use super::collector::{Collector, attributes, hex};
use crate::client::{Protocol, exchange, get};
use crate::guests;
use crate::process::{Process, application, up};
use crate::upstream::Upstream;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CLIENT: &str = "b7ad6b7169203331";

/// Sends a request with a trace, and returns the body of the response.
fn get_traced(host: &Process, path: &str, flags: &str) -> String {
    let request = Request::get(path).header("traceparent", format!("00-{TRACE}-{CLIENT}-{flags}"));
    let response = exchange(host.address(), Protocol::Http1, request.body(Empty::new()).unwrap());
    String::from_utf8(response.into_body().to_bytes().into()).unwrap()
}

#[test]
fn s16_a_requests_span_ends_when_the_response_was_sent_and_belongs_to_its_client() {
    let (collector, app) = (Collector::start(), application(guests::IDENTITY, ""));
    let host = Process::start(collector.receives(up(app.path(), [])));
    let said = get_traced(&host, "/some/path?secret=1", "01");

    let [span] = &collector.spans(SpanKind::Server, 1)[..] else { panic!("there should be one span") };
    assert_eq!((hex(&span.trace_id), hex(&span.parent_span_id)), (TRACE.to_owned(), CLIENT.to_owned()));
    assert_eq!(span.name, "GET /...");
    let attributes = attributes(&span.attributes);
    for (name, expected) in [
        ("http.request.method", "GET"),
        ("http.route", "/..."),
        ("url.path", "/some/path"),
        ("url.scheme", "http"),
        ("http.response.status_code", "200"),
        ("network.protocol.version", "1.1"),
        ("network.peer.address", "127.0.0.1"),
        ("epilogue.component", "app"),
    ] {
        assert_eq!(attributes[name], expected, "{name}");
    }
    assert!(!attributes.contains_key("error.type"));
    assert_eq!(span.status.as_ref().map(|status| status.code()), Some(StatusCode::Unset));

    // The guest sees this span as its parent, in the handler and in tasks.
    let (request, parent) = said.split_once(' ').unwrap();
    assert_eq!(attributes["epilogue.request.id"], request);
    assert_eq!(parent, format!("00-{TRACE}-{}-01", hex(&span.span_id)));
    for task in collector.spans(SpanKind::Consumer, 2) {
        assert_eq!(hex(&task.trace_id), TRACE);
        assert_eq!(hex(&task.parent_span_id), "");
        let [link] = &task.links[..] else { panic!("a task should have one link") };
        assert_eq!((&link.trace_id, &link.span_id), (&span.trace_id, &span.span_id));
        assert!(span.end_time_unix_nano <= task.start_time_unix_nano, "no task begins before the response was sent");
    }
    host.printed(&format!("{request} {parent} none {request}:2"));
}

#[test]
fn a_request_that_fails_is_an_error() {
    let (collector, app) = (Collector::start(), application(guests::ENDS, ""));
    let host = Process::start(collector.receives(up(app.path(), [])));
    for path in ["/error", "/404"] {
        get(host.address(), path);
    }
    let spans = collector.spans(SpanKind::Server, 2);
    let described: Vec<_> = spans
        .iter()
        .map(|span| (span.status.as_ref().unwrap().code(), attributes(&span.attributes).get("error.type").cloned()))
        .collect();
    assert_eq!(described, [(StatusCode::Error, Some("500".to_owned())), (StatusCode::Unset, None)]);
}

#[test]
fn an_answer_of_the_host_itself_has_a_span() {
    let (collector, app) = (Collector::start(), application(guests::HELLO, ""));
    let host = Process::start(collector.receives(up(app.path(), [])));
    get_traced(&host, "/.well-known/spin/unknown", "01");
    let span = collector.spans(SpanKind::Server, 1).remove(0);
    assert_eq!((span.name.as_str(), hex(&span.parent_span_id)), ("GET", CLIENT.to_owned()));
    assert_eq!(attributes(&span.attributes)["http.response.status_code"], "404");
}

#[test]
fn the_sampler_decides_and_the_guest_knows() {
    for (sampler, flags, expected) in [("always_off", "01", "00"), ("parentbased_always_on", "00", "00")] {
        let (collector, app) = (Collector::start(), application(guests::IDENTITY, ""));
        let mut command = collector.receives(up(app.path(), []));
        command.env("OTEL_TRACES_SAMPLER", sampler).env("OTEL_LOGS_EXPORTER", "none");
        let host = Process::start(command);
        let said = get_traced(&host, "/", flags);
        assert!(said.ends_with(&format!("-{expected}")), "{said}");
        host.printed("torn-down");
        host.signal("TERM");
        assert_eq!(host.ended().code, Some(0));
        assert_eq!(collector.all_spans(), [], "{sampler}");
    }
}

#[test]
fn a_call_of_the_guest_has_a_span_that_its_server_sees() {
    let (collector, upstream) = (Collector::start(), Upstream::start());
    let app = application(guests::OUTBOUND, &format!("allowed_outbound_hosts = [{:?}]", upstream.url()));
    let host = Process::start(collector.receives(up(app.path(), [])));
    let parent = |headers: &[String]| {
        let of = |line: &String| line.to_lowercase().strip_prefix("traceparent: ").map(str::to_owned);
        let found: Vec<_> = headers.iter().filter_map(of).collect();
        let [parent] = &found[..] else { panic!("there should be one traceparent: {headers:?}") };
        parent.clone()
    };

    // The upstream answers on another thread, because the response waits for it.
    std::thread::scope(|scope| {
        let (host, path) = (&host, format!("/now?{}/secret", upstream.url()));
        scope.spawn(move || get_traced(host, &path, "01"));
        let call = upstream.call();
        let seen = parent(&call.headers);
        call.answer("now");
        let span = collector.spans(SpanKind::Client, 1).remove(0);
        assert_eq!(seen, format!("00-{TRACE}-{}-01", hex(&span.span_id)));
        let server = collector.spans(SpanKind::Server, 1).remove(0);
        assert_eq!(span.parent_span_id, server.span_id);
        assert_eq!(span.name, "GET");
        let attributes = attributes(&span.attributes);
        assert_eq!(attributes["server.port"], upstream.address().port().to_string());
        assert_eq!(attributes["http.response.status_code"], "200");
        assert!(!attributes.values().any(|value| value.contains("secret")));
    });

    // A call of a task belongs to the task.
    get_traced(&host, &format!("/later?{}", upstream.url()), "01");
    let call = upstream.call();
    let seen = parent(&call.headers);
    call.answer("later");
    let span = collector.spans(SpanKind::Client, 2).remove(1);
    assert_eq!(seen, format!("00-{TRACE}-{}-01", hex(&span.span_id)));
    let task = collector.spans(SpanKind::Consumer, 1).remove(0);
    assert_eq!(span.parent_span_id, task.span_id);
}

#[test]
fn the_service_is_described_by_the_variables() {
    let (collector, app) = (Collector::start(), application(guests::HELLO, ""));
    let mut command = collector.receives(up(app.path(), []));
    command
        .env("OTEL_SERVICE_NAME", "shop")
        .env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        .env("OTEL_EXPORTER_OTLP_HEADERS", "x-team=a%20b")
        .env("OTEL_EXPORTER_OTLP_TIMEOUT", "soon");
    let host = Process::start(command);
    get(host.address(), "/");
    collector.spans(SpanKind::Server, 1);
    collector.wait_for(|kept| {
        let expected = [("service.name", "shop"), ("deployment.environment.name", "test")];
        let all = expected.iter().all(|(name, value)| kept.resource.get(*name).is_some_and(|own| own == value));
        (all && kept.headers["x-team"] == "a b").then_some(())
    });
    host.logged("the variable OTEL_EXPORTER_OTLP_TIMEOUT is ignored: \"soon\" is not a number of milliseconds");
}
