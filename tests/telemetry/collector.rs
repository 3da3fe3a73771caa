//! A collector that keeps what it is sent, until a test asks for it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;

/// How long a test waits for telemetry.
const PATIENCE: Duration = Duration::from_secs(60);

/// A collector on a free port.
pub(super) struct Collector {
    address: SocketAddr,
    kept: Arc<(Mutex<Kept>, Condvar)>,
}

/// What the collector was sent so far.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) spans: Vec<Span>,
    pub(super) logs: Vec<LogRecord>,
    /// All metrics, each as often as it was sent.
    pub(super) metrics: Vec<Metric>,
    /// The attributes of the newest resource.
    pub(super) resource: Attributes,
    /// The headers of the newest request, in lower case.
    pub(super) headers: BTreeMap<String, String>,
    requests: usize,
}

/// Attributes as text, by their names.
pub(super) type Attributes = BTreeMap<String, String>;

impl Collector {
    /// Starts a collector that takes everything.
    pub(super) fn start() -> Self {
        Self::serve(true)
    }

    /// Starts a collector that reads requests, and never answers.
    pub(super) fn stalled() -> Self {
        Self::serve(false)
    }

    fn serve(answers: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let kept = Arc::new((Mutex::new(Kept::default()), Condvar::new()));
        let collector = Self { address, kept: kept.clone() };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = kept.clone();
                thread::spawn(move || while take(&stream, &kept, answers).is_some() {});
            }
        });
        collector
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets a command export to this collector, without waiting long for more.
    pub(super) fn receives(&self, mut command: Command) -> Command {
        command
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", self.url())
            .env("OTEL_BSP_SCHEDULE_DELAY", "20")
            .env("OTEL_BLRP_SCHEDULE_DELAY", "20")
            .env("OTEL_METRIC_EXPORT_INTERVAL", "50");
        command
    }

    /// Waits until `find` finds something in what the collector was sent.
    pub(super) fn wait_for<T>(&self, find: impl Fn(&Kept) -> Option<T>) -> T {
        let (kept, changed) = &*self.kept;
        let waits = |kept: &mut Kept| find(kept).is_none();
        let (kept, _) = changed.wait_timeout_while(kept.lock().unwrap(), PATIENCE, waits).unwrap();
        find(&kept).unwrap_or_else(|| panic!("the collector should be sent something else than {:#?}", kept.spans))
    }

    /// Waits for `count` spans of a kind, and returns those of this kind in the order of their arrival.
    pub(super) fn spans(&self, kind: SpanKind, count: usize) -> Vec<Span> {
        self.wait_for(|kept| {
            let spans: Vec<_> = kept.spans.iter().filter(|span| span.kind == kind as i32).cloned().collect();
            (spans.len() >= count).then_some(spans)
        })
    }

    /// All spans so far. After the end of the process, these are all that it has sent.
    pub(super) fn all_spans(&self) -> Vec<Span> {
        self.kept.0.lock().unwrap().spans.clone()
    }

    /// Waits for the collector's first request.
    pub(super) fn asked(&self) {
        self.wait_for(|kept| (kept.requests > 0).then_some(()));
    }
}

/// Takes one request. None if there is no further one.
fn take(stream: &TcpStream, kept: &(Mutex<Kept>, Condvar), answers: bool) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut lines = reader.by_ref().lines();
    let first = lines.next()?.ok()?;
    let lines = lines.map_while(Result::ok).take_while(|line| !line.is_empty());
    let headers: BTreeMap<_, _> = lines
        .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned())))
        .collect();
    let mut body = vec![0; headers["content-length"].parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let path = first.split(' ').nth(1)?;
    let (kept, changed) = kept;
    kept.lock().unwrap().keep(path, &body, headers);
    changed.notify_all();
    if !answers {
        // Until the client gives up.
        _ = reader.read(&mut [0]);
        return None;
    }
    let mut stream = stream;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()
}

impl Kept {
    fn keep(&mut self, path: &str, body: &[u8], headers: BTreeMap<String, String>) {
        let resource = match path {
            "/v1/traces" => {
                let request = ExportTraceServiceRequest::decode(body).expect("these should be traces");
                let [of_resource] = &request.resource_spans[..] else { panic!("there should be one resource") };
                self.spans.extend(of_resource.scope_spans.iter().flat_map(|scope| scope.spans.clone()));
                of_resource.resource.clone()
            }
            "/v1/logs" => {
                let request = ExportLogsServiceRequest::decode(body).expect("these should be logs");
                let of_resource = request.resource_logs.first().expect("there should be a resource");
                let scopes = request.resource_logs.iter().flat_map(|resource| &resource.scope_logs);
                self.logs.extend(scopes.flat_map(|scope| scope.log_records.clone()));
                of_resource.resource.clone()
            }
            "/v1/metrics" => {
                let request = ExportMetricsServiceRequest::decode(body).expect("these should be metrics");
                let [of_resource] = &request.resource_metrics[..] else { panic!("there should be one resource") };
                self.metrics.extend(of_resource.scope_metrics.iter().flat_map(|scope| scope.metrics.clone()));
                of_resource.resource.clone()
            }
            path => panic!("the collector has no {path}"),
        };
        self.resource = attributes(&resource.expect("the resource should be described").attributes);
        self.headers = headers;
        self.requests += 1;
    }
}

/// Attributes as text.
pub(super) fn attributes(attributes: &[KeyValue]) -> Attributes {
    attributes.iter().map(|attribute| (attribute.key.clone(), text(attribute.value.as_ref()))).collect()
}

/// A value as text.
pub(super) fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        other => panic!("{other:?} should be a simple value"),
    }
}

/// The hexadecimal form of an id.
pub(super) fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
