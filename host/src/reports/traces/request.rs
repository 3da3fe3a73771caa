//! Makes the trace span of a request. The span ends when the response is sent. The attributes follow OpenTelemetry's
//! semantic conventions for HTTP servers.

use std::time::Instant;

use http::uri::Authority;
use opentelemetry::KeyValue;
use opentelemetry::trace::{Event, SpanKind, Status};
use opentelemetry_sdk::trace::SpanData;

use crate::contract::bindings::ResponseOutcome;
use crate::reports::conventions::{OTHER_METHOD, method, version};
use crate::tasks::timeline::{Asked, Timeline};
use crate::telemetry::otlp::trace::Trace;

/// Makes the span of a request after the response was sent or has failed.
pub(super) fn span(timeline: &Timeline, trace: &Trace, asked: &Asked) -> SpanData {
    let end = timeline.sent.or(timeline.responded).unwrap_or_else(Instant::now);
    let times = (timeline.time, timeline.wall(end));
    let mut span = trace.spans.span(trace.own.clone(), SpanKind::Server, name(asked), times);
    if let Some(parent) = &trace.parent {
        span.parent_span_id = parent.span_id();
        span.parent_span_is_remote = true;
    }
    span.attributes = attributes(timeline, asked);
    if let Some(responded) = timeline.responded.filter(|_| timeline.sent.is_some()) {
        span.events.events.push(Event::new("response headers", timeline.wall(responded), Vec::new(), 0));
    }
    let status = timeline.status;
    let (error, why) = match &timeline.outcome {
        ResponseOutcome::ResponseFailed(why) => (Some("response-failed".to_owned()), why.as_str()),
        ResponseOutcome::ClientGone => (Some("client-gone".to_owned()), ""),
        ResponseOutcome::HandlerFailed(why) => (Some(status.as_str().to_owned()), why.as_str()),
        ResponseOutcome::Delivered => (status.is_server_error().then(|| status.as_str().to_owned()), ""),
    };
    if let Some(error) = error {
        // The span shows an error only if the server has failed, not if the client has left or has sent a wrong
        // request.
        if status.is_server_error() || matches!(timeline.outcome, ResponseOutcome::ResponseFailed(_)) {
            span.status = Status::error(why.to_owned());
        }
        span.attributes.push(KeyValue::new("error.type", error));
    }
    span
}

/// Returns the span's name, which consists of the method and the route.
fn name(asked: &Asked) -> String {
    let known = method(&asked.method).unwrap_or("HTTP");
    if asked.route.is_empty() { known.to_owned() } else { format!("{known} {}", asked.route) }
}

fn attributes(timeline: &Timeline, asked: &Asked) -> Vec<KeyValue> {
    let mut attributes = Vec::with_capacity(16);
    let mut add = |name: &'static str, value: opentelemetry::Value| attributes.push(KeyValue::new(name, value));
    match method(&asked.method) {
        Some(method) => add("http.request.method", method.into()),
        None => {
            add("http.request.method", OTHER_METHOD.into());
            add("http.request.method_original", asked.method.to_string().into());
        }
    }
    add("url.path", asked.path.clone().into());
    add("url.scheme", asked.scheme.into());
    add("http.response.status_code", i64::from(timeline.status.as_u16()).into());
    add("http.response.body.size", i64::try_from(timeline.bytes).unwrap_or(i64::MAX).into());
    if !asked.route.is_empty() {
        add("http.route", asked.route.clone().into());
    }
    if let Some(authority) = asked.authority.as_ref().and_then(|text| text.parse::<Authority>().ok()) {
        add("server.address", authority.host().to_owned().into());
        let usual = if asked.scheme == "https" { 443 } else { 80 };
        add("server.port", i64::from(authority.port_u16().unwrap_or(usual)).into());
    }
    add("network.protocol.version", version(asked.version).into());
    add("network.peer.address", asked.client.ip().to_string().into());
    add("network.peer.port", i64::from(asked.client.port()).into());
    if !timeline.id.is_empty() {
        add("epilogue.request.id", timeline.id.clone().into());
        add("epilogue.component", timeline.component.clone().into());
    }
    attributes
}
