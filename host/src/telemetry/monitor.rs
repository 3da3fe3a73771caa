//! Serves metrics, `/healthz` and `/readyz` over HTTP, on a separate address.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics::Unit;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tokio::sync::Semaphore;

use crate::process::shutdown::Shutdown;
use crate::telemetry::once_a_minute::OnceAMinute;

/// How long one answer may take, including the arrival of the request.
const LIMIT: Duration = Duration::from_secs(10);
/// The largest number of open connections. The next connection waits in the kernel until one has closed.
const CONNECTIONS: usize = 64;
/// The pause after a connection could not be accepted, for example because the process has too many open files.
const PAUSE: Duration = Duration::from_millis(50);
/// The content type of Prometheus' text format. Prometheus 3 refuses metrics without it.
const METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
/// The buckets of `http.server.request.duration`, as OpenTelemetry's semantic conventions fix them.
const REQUEST_SECONDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// The buckets of the times of tasks, which are shorter and longer than requests.
const TASK_SECONDS: [f64; 12] = [0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0];
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Sets the gauges to what they measure. Called before the metrics are read.
pub(crate) type Gauges = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// Whether the host is ready. It is ready from the time when its application is loaded until its shutdown begins.
#[derive(Clone, Default)]
pub(crate) struct Readiness(Arc<OnceLock<(Shutdown, Gauges)>>);

impl Readiness {
    /// Makes the host ready until `shutdown` begins. Called when the application is loaded. From now on, `gauges` sets the
    /// gauges of `/metrics`.
    pub(crate) fn loaded(&self, shutdown: &Shutdown, gauges: Gauges) {
        _ = self.0.set((shutdown.clone(), gauges));
    }

    async fn set_gauges(&self) {
        if let Some((_, gauges)) = self.0.get() {
            gauges().await;
        }
    }

    fn answer(&self) -> (StatusCode, &'static str) {
        match self.0.get() {
            None => (StatusCode::SERVICE_UNAVAILABLE, "loading\n"),
            Some((shutdown, _)) if shutdown.has_begun() => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
            Some(_) => (StatusCode::OK, "ready\n"),
        }
    }
}

/// The data for the answers.
struct Monitor {
    metrics: PrometheusHandle,
    readiness: Readiness,
}

/// Serves metrics, `/healthz` and `/readyz` from now on, on a separate thread.
pub(crate) fn serve(address: SocketAddr, readiness: Readiness) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).with_context(|| format!("cannot serve metrics on {address}"))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let recorder = recorder()?;
    let metrics = recorder.handle();
    metrics::set_global_recorder(recorder).context("metrics are already recorded elsewhere")?;
    describe();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = {
        let _context = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    let answer = answer_all(listener, Arc::new(Monitor { metrics, readiness }));
    let thread = std::thread::Builder::new().name("epilogue-metrics".into());
    thread.spawn(move || runtime.block_on(answer)).context("cannot start a thread")?;
    tracing::info!(target: "epilogue::monitor", "metrics are on http://{address}/metrics");
    Ok(())
}

fn recorder() -> anyhow::Result<PrometheusRecorder> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full("http_server_request_duration_seconds".to_owned()), &REQUEST_SECONDS)?
        .set_buckets_for_metric(Matcher::Full("epilogue_task_duration_seconds".to_owned()), &TASK_SECONDS)?
        .set_buckets_for_metric(Matcher::Full("epilogue_task_wait_seconds".to_owned()), &TASK_SECONDS)?;
    Ok(builder.build_recorder())
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
    metrics::describe_gauge!("epilogue_instances", "Instances of components, in use and idle.");
    metrics::describe_gauge!("epilogue_limit", "Limits of the host, by name.");
    metrics::describe_gauge!("epilogue_limit_use", "How much of each limit of the host is used, by name.");
    metrics::describe_gauge!("epilogue_versions", "Versions of the application that still serve requests.");
    metrics::describe_counter!("epilogue_reloads_total", "Reloads of the application, by result.");
}

async fn answer_all(listener: tokio::net::TcpListener, monitor: Arc<Monitor>) -> Infallible {
    let (room, failures) = (Arc::new(Semaphore::new(CONNECTIONS)), OnceAMinute::default());
    loop {
        let permit = room.clone().acquire_owned().await;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                if let Some(times) = failures.due() {
                    let error = error.to_string();
                    tracing::warn!(target: "epilogue::monitor", error, times, "cannot accept a connection for metrics");
                }
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let monitor = monitor.clone();
        tokio::spawn(async move {
            let answer = service_fn(|request: Request<_>| monitor.answer(request));
            let mut http = http1::Builder::new();
            let http = http.keep_alive(false).timer(TokioTimer::new()).header_read_timeout(LIMIT);
            // If a client breaks off or is slow, only its own answer is lost.
            _ = tokio::time::timeout(LIMIT, http.serve_connection(TokioIo::new(stream), answer)).await;
            drop(permit);
        });
    }
}

impl Monitor {
    async fn answer<B>(&self, request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
        let method = request.method();
        let (status, kind, text) = match request.uri().path() {
            "/metrics" => {
                self.readiness.set_gauges().await;
                (StatusCode::OK, METRICS, Bytes::from(self.metrics.render()))
            }
            "/healthz" => (StatusCode::OK, TEXT, Bytes::from_static(b"alive\n")),
            "/readyz" => {
                let (status, text) = self.readiness.answer();
                (status, TEXT, Bytes::from_static(text.as_bytes()))
            }
            _ => (StatusCode::NOT_FOUND, TEXT, Bytes::from_static(b"try /metrics, /healthz or /readyz\n")),
        };
        let mut response = Response::new(Full::new(text));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, kind);
        if status != StatusCode::NOT_FOUND && method != Method::GET && method != Method::HEAD {
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            *response.body_mut() = Full::default();
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        Ok(response)
    }
}
