//! What `--metrics-listen` serves beside the application: metrics as Prometheus takes them, and how the process is.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{Collected, Empty};

use crate::client::{Protocol, exchange, get};
use crate::durable::fixture::{Fixture, Kind};
use crate::guests;
use crate::process::{Process, application, retry, up};
use crate::upstream::Upstream;

const LISTEN: [&str; 2] = ["--metrics-listen", "127.0.0.1:0"];

/// The address of the metrics, as the host prints it.
pub(crate) fn address(process: &Process) -> SocketAddr {
    let line = process.logged("metrics are on http://");
    let (address, path) = line.split_once("http://").unwrap().1.split_once('/').unwrap();
    assert_eq!(path, "metrics");
    address.parse().unwrap()
}

fn ask(address: SocketAddr, method: &str, path: &str) -> Response<Collected<Bytes>> {
    let request = Request::builder().method(method).uri(path).body(Empty::<Bytes>::new()).unwrap();
    exchange(address, Protocol::Http1, request)
}

fn ready(address: SocketAddr) -> (StatusCode, String) {
    let response = ask(address, "GET", "/readyz");
    let status = response.status();
    (status, String::from_utf8(response.into_body().to_bytes().into()).unwrap())
}

#[test]
fn metrics_say_whether_the_task_engine_answers() {
    let mut fixture = Fixture::new(Kind::Redis);
    let host = Process::start(up(fixture.app.path(), ["--engine", &fixture.url].into_iter().chain(LISTEN)));
    let address = address(&host);
    let says = |up: u8| {
        let line = format!("epilogue_task_engine_up {up}\n");
        retry(|| get(address, "/metrics").contains(&line).then_some(()));
    };
    says(1);
    fixture.pause();
    says(0);
}

#[test]
fn metrics_are_what_prometheus_takes() {
    let app = application(guests::TASKS, "");
    let host = Process::start(up(app.path(), LISTEN));
    let address = address(&host);
    get(host.address(), "/?run=ok,sync,fail,ok");
    // The last task's event comes just before its count.
    host.logged("skipped");
    retry(|| get(address, "/metrics").contains("skipped").then_some(()));
    let response = ask(address, "GET", "/metrics");
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");

    let text = response.into_body().to_bytes();
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().expect("promtool should be there: install Debian's package prometheus");
    promtool.stdin.take().unwrap().write_all(&text).unwrap();
    let checked = promtool.wait_with_output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
}

#[test]
fn a_slow_client_holds_up_no_scrape() {
    let app = application(guests::HELLO, "");
    let host = Process::start(up(app.path(), LISTEN));
    let address = address(&host);
    let mut slow: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
    slow[0].write_all(b"GET /metrics HTTP/1.1\r\nhost:").unwrap();
    assert_eq!(ask(address, "GET", "/metrics").status(), StatusCode::OK);
    for client in &mut slow {
        client.set_nonblocking(true).unwrap();
        let waits = client.read(&mut [0]).map_err(|error| error.kind());
        assert_eq!(waits, Err(ErrorKind::WouldBlock), "the scrape should have been answered first");
    }
}

#[test]
fn nothing_else_is_served_beside_the_metrics() {
    let app = application(guests::HELLO, "");
    let host = Process::start(up(app.path(), LISTEN));
    let address = address(&host);
    for (method, path, status) in [
        ("GET", "/", 404),
        ("GET", "/metrics/", 404),
        ("POST", "/other", 404),
        ("HEAD", "/metrics", 200),
        ("POST", "/metrics", 405),
        ("GET", "/healthz", 200),
        ("HEAD", "/healthz", 200),
        ("DELETE", "/healthz", 405),
        ("PUT", "/readyz", 405),
    ] {
        let response = ask(address, method, path);
        assert_eq!(response.status(), status, "{method} {path}");
        assert_eq!(response.headers().get("allow").is_some(), status == 405, "{method} {path}");
        let body = response.into_body().to_bytes();
        assert!(!body.starts_with(b"#") && (body.is_empty() || method == "GET" || status == 404), "{method} {path}");
    }
}

#[test]
fn a_host_is_ready_once_it_has_loaded_and_until_it_stops() {
    let upstream = Upstream::start();
    let more = format!(
        "allowed_outbound_hosts = [{:?}]\nbuild.command = \"cat gate && cp '{}' app.wasm\"",
        upstream.url(),
        guests::OUTBOUND
    );
    let app = application("app.wasm", &more);
    let gate = app.path().join("gate");
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    let host = Process::start(up(app.path(), LISTEN.into_iter().chain(["--build"])));
    let address = address(&host);
    assert_eq!(ready(address), (StatusCode::SERVICE_UNAVAILABLE, "loading\n".to_owned()));
    assert_eq!(get(address, "/healthz"), "alive\n");

    OpenOptions::new().write(true).open(gate).unwrap().write_all(b"go on").unwrap();
    let served = host.address();
    retry(|| (ready(address) == (StatusCode::OK, "ready\n".to_owned())).then_some(()));

    get(served, &format!("/later?{}", upstream.url()));
    let task = upstream.call();
    host.signal("TERM");
    // The line comes just before the shutdown begins.
    host.logged("stopping: ");
    retry(|| (ready(address) == (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned())).then_some(()));
    assert_eq!(get(address, "/healthz"), "alive\n");
    task.answer("go on");
    assert_eq!(host.ended().code, Some(0));
}

#[test]
fn a_worker_tells_the_same_of_itself() {
    let fixture = Fixture::new(Kind::Sqlite);
    let worker = fixture.worker(LISTEN);
    let address = address(&worker);
    retry(|| (ready(address) == (StatusCode::OK, "ready\n".to_owned())).then_some(()));
    assert_eq!(ask(address, "GET", "/metrics").status(), StatusCode::OK);
}
