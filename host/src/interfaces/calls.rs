//! Records a trace span for each request that a guest sends. The attributes follow OpenTelemetry's semantic conventions
//! for HTTP clients. A span does not contain the path and the query of a URL, because both may be secret.

use std::sync::Arc;
use std::time::SystemTime;

use http::uri::Scheme;
use http::{HeaderValue, Request, StatusCode, Uri};
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanId, SpanKind, Status};
use wasmtime_wasi_http::Error;

use crate::telemetry::otlp::trace::{Trace, new_span};

/// A request that a guest is sending. When this value is dropped, the host exports the request's span.
pub(super) struct Call {
    trace: Arc<Trace>,
    span: SpanId,
    parent: SpanId,
    start: SystemTime,
    method: String,
    uri: Uri,
    status: Option<StatusCode>,
    error: Option<String>,
}

impl Call {
    /// Begins the span of a request to `uri`. If the guest has not set the header `traceparent`, adds this header, so
    /// that the server that gets the request can make its own span a child of this span.
    pub(super) fn begin<B>(trace: Arc<Trace>, request: &mut Request<B>, uri: &Uri) -> Self {
        let (span, parent) = (new_span(), trace.current());
        let headers = request.headers_mut();
        if !headers.contains_key("traceparent")
            && let Ok(value) = HeaderValue::try_from(trace.traceparent(span))
        {
            headers.insert("traceparent", value);
            let state = trace.own.trace_state().header();
            if let Some(state) = Some(state).filter(|state| !state.is_empty()).and_then(|state| state.try_into().ok()) {
                headers.insert("tracestate", state);
            }
        }
        let (method, uri) = (request.method().to_string(), uri.clone());
        Self { trace, span, parent, start: SystemTime::now(), method, uri, status: None, error: None }
    }

    /// Records the status of the server's response.
    pub(super) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    /// Records the error of a request that failed.
    pub(super) fn failed(&mut self, error: &Error) {
        self.error = Some(error.to_string());
    }

    fn attributes(&self) -> Vec<KeyValue> {
        let scheme = self.uri.scheme().unwrap_or(&Scheme::HTTP);
        let usual = if *scheme == Scheme::HTTPS { 443 } else { 80 };
        let mut attributes = vec![
            KeyValue::new("http.request.method", self.method.clone()),
            KeyValue::new("url.scheme", scheme.to_string()),
            KeyValue::new("server.address", self.uri.host().unwrap_or_default().to_owned()),
            KeyValue::new("server.port", i64::from(self.uri.port_u16().unwrap_or(usual))),
        ];
        if let Some(status) = self.status {
            attributes.push(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
        }
        attributes
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.trace.is_sampled() {
            return;
        }
        self.trace.spans.send(1, || {
            let (context, times) = (self.trace.with(self.span), (self.start, SystemTime::now()));
            let mut span = self.trace.spans.span(context, SpanKind::Client, self.method.clone(), times);
            span.parent_span_id = self.parent;
            span.attributes = self.attributes();
            let wrong = self.status.filter(|status| status.is_client_error() || status.is_server_error());
            if let Some(error) = self.error.clone() {
                span.attributes.push(KeyValue::new("error.type", error.clone()));
                span.status = Status::error(error);
            } else if let Some(status) = wrong {
                span.attributes.push(KeyValue::new("error.type", status.as_str().to_owned()));
                span.status = Status::error("");
            }
            [span]
        });
    }
}
