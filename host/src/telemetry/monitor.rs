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
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tokio::sync::Semaphore;

use crate::process::shutdown::Shutdown;
use crate::telemetry::names;
use crate::telemetry::once_a_minute::OnceAMinute;

/// The longest time from the beginning of a connection to the end of the answer.
const LIMIT: Duration = Duration::from_secs(10);
/// The largest number of open connections. Further connections wait in the kernel's queue until an open connection is
/// closed.
const CONNECTIONS: usize = 64;
/// The pause after a failed attempt to accept a connection. An attempt can fail, for example, because the process has
/// too many open files.
const PAUSE: Duration = Duration::from_millis(50);
/// The content type of Prometheus' text format. Prometheus 3 refuses metrics without this content type.
const METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// A function that sets the gauges to their current values. The host calls the function before it reads the metrics.
pub(crate) type Gauges = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// Knows whether the host is ready for requests. The host is ready from the time when the application is loaded until
/// the shutdown begins.
#[derive(Clone, Default)]
pub(crate) struct Readiness(Arc<OnceLock<(Shutdown, Gauges)>>);

impl Readiness {
    /// Records that the application is loaded, so that the host is ready until `shutdown` begins. From now on, each
    /// request for `/metrics` first calls `gauges`, which sets the gauges to their current values.
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

/// The data that the host needs to answer requests for `/metrics`, `/healthz` and `/readyz`.
struct Monitor {
    metrics: PrometheusHandle,
    readiness: Readiness,
}

/// Starts a thread that serves metrics, `/healthz` and `/readyz`. Returns the recorder that must receive the host's
/// metrics.
pub(crate) fn serve(address: SocketAddr, readiness: Readiness) -> anyhow::Result<PrometheusRecorder> {
    let listener = TcpListener::bind(address).with_context(|| format!("cannot serve metrics on {address}"))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let recorder = recorder()?;
    let metrics = recorder.handle();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = {
        let _context = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    let answer = answer_all(listener, Arc::new(Monitor { metrics, readiness }));
    let thread = std::thread::Builder::new().name("epilogue-metrics".into());
    thread.spawn(move || runtime.block_on(answer)).context("cannot start a thread")?;
    tracing::info!(target: "epilogue::monitor", "metrics are on http://{address}/metrics");
    Ok(recorder)
}

fn recorder() -> anyhow::Result<PrometheusRecorder> {
    let mut builder = PrometheusBuilder::new();
    for (name, buckets) in names::HISTOGRAMS {
        builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)?;
    }
    Ok(builder.build_recorder())
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
            // If a client breaks off or is slow, only the client's own answer is lost.
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
