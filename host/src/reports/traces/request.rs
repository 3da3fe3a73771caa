//! Makes the trace span of a request. The span ends when the response is sent. The attributes follow OpenTelemetry's
//! semantic conventions for HTTP servers.

use http::uri::Authority;
use opentelemetry::KeyValue;
use opentelemetry::trace::{Event, SpanKind, Status};
use opentelemetry_sdk::trace::SpanData;

use crate::reports::conventions::{OTHER_METHOD, method};
use crate::tasks::timeline::{Asked, Outcome, Timeline};
use crate::telemetry::otlp::trace::Trace;

/// Makes the span of a request after the response was sent or has failed.
pub(super) fn span(timeline: &Timeline, trace: &Trace, asked: &Asked) -> SpanData {
    let end = timeline.facts.sent.or(timeline.facts.responded).unwrap_or_else(|| timeline.now());
    let times = (timeline.facts.time, timeline.wall(end));
    let mut span = trace.spans.span(trace.own.clone(), SpanKind::Server, name(timeline, asked), times);
    if let Some(parent) = &trace.parent {
        span.parent_span_id = parent.span_id();
        span.parent_span_is_remote = true;
    }
    span.attributes = attributes(timeline, asked);
    if let Some(responded) = timeline.facts.responded.filter(|_| timeline.facts.sent.is_some()) {
        span.events.events.push(Event::new("response headers", timeline.wall(responded), Vec::new(), 0));
    }
    let status = timeline.facts.status;
    let is_server_error = (500..600).contains(&status);
    let (error, why) = match timeline.facts.outcome {
        Outcome::ResponseFailed(why) => (Some("response-failed".to_owned()), timeline.text(why)),
        Outcome::ClientGone => (Some("client-gone".to_owned()), ""),
        Outcome::HandlerFailed(why) => (Some(status.to_string()), timeline.text(why)),
        Outcome::Delivered => (is_server_error.then(|| status.to_string()), ""),
    };
    if let Some(error) = error {
        // The span shows an error only if the server has failed, not if the client has left or has sent a wrong
        // request.
        if is_server_error || matches!(timeline.facts.outcome, Outcome::ResponseFailed(_)) {
            span.status = Status::error(why.to_owned());
        }
        span.attributes.push(KeyValue::new("error.type", error));
    }
    span
}

/// Returns the span's name, which consists of the method and the route.
fn name(timeline: &Timeline, asked: &Asked) -> String {
    let (known, route) = (method(timeline.text(asked.method)).unwrap_or("HTTP"), timeline.text(asked.route));
    if route.is_empty() { known.to_owned() } else { format!("{known} {route}") }
}

fn attributes(timeline: &Timeline, asked: &Asked) -> Vec<KeyValue> {
    let mut attributes = Vec::with_capacity(16);
    let mut add = |name: &'static str, value: opentelemetry::Value| attributes.push(KeyValue::new(name, value));
    let asked_method = timeline.text(asked.method);
    match method(asked_method) {
        Some(method) => add("http.request.method", method.into()),
        None => {
            add("http.request.method", OTHER_METHOD.into());
            add("http.request.method_original", asked_method.to_owned().into());
        }
    }
    add("url.path", timeline.text(asked.path).to_owned().into());
    add("url.scheme", asked.scheme().into());
    add("http.response.status_code", i64::from(timeline.facts.status).into());
    add("http.response.body.size", i64::try_from(timeline.facts.bytes).unwrap_or(i64::MAX).into());
    let route = timeline.text(asked.route);
    if !route.is_empty() {
        add("http.route", route.to_owned().into());
    }
    if let Some(authority) = asked.authority.and_then(|text| timeline.text(text).parse::<Authority>().ok()) {
        add("server.address", authority.host().to_owned().into());
        let usual = if asked.scheme() == "https" { 443 } else { 80 };
        add("server.port", i64::from(authority.port_u16().unwrap_or(usual)).into());
    }
    add("network.protocol.version", asked.protocol_version().into());
    add("network.peer.address", asked.client.ip().to_string().into());
    add("network.peer.port", i64::from(asked.client.port()).into());
    if !timeline.id().is_empty() {
        add("epilogue.request.id", timeline.id().to_owned().into());
        add("epilogue.component", timeline.component().to_owned().into());
    }
    attributes
}
