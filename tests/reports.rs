//! What operators see of requests and tasks: the access log, request ids and metrics.

use std::fs;
use std::thread;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Collected, Empty};
use serde_json::{Value, json};

use crate::client::{Protocol, exchange, get};
use crate::durable::servers::Server;
use crate::gate::Gate;
use crate::guests;
use crate::monitor::address;
use crate::process::{Process, application, epilogue, folder, retry, sockets_in, up};

/// The id of a trace, and the header of a client that belongs to it.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn ask(host: &Process, path: &str, headers: &[(&str, &str)]) -> Response<Collected<Bytes>> {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    exchange(host.address(), Protocol::Http1, request.body(Empty::<Bytes>::new()).unwrap())
}

fn request_id(response: &Response<Collected<Bytes>>) -> Option<&str> {
    response.headers().get("x-request-id").map(|id| id.to_str().unwrap())
}

/// The next line of the access log as JSON: the one with this number, from 1.
fn access(host: &Process, number: usize) -> Value {
    serde_json::from_str(&host.logged_times("\"epilogue::access\"", number)).expect("it should be an object")
}

#[test]
fn the_access_log_has_a_line_for_each_request() {
    let app = application(guests::TASKS, "");
    let host = Process::start(up(app.path(), ["--access-log", "--log-format", "json"]));
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let response = ask(&host, "/?run=ok,sync,fail,ok&status=201", &[("traceparent", &parent)]);
    let line = access(&host, 1);
    let field = |name: &str| line[name].as_u64().unwrap_or_else(|| panic!("{name} should be in {line}"));
    assert_eq!(line["message"], "served");
    assert_eq!((&line["method"], &line["path"], &line["route"]), (&"GET".into(), &"/".into(), &"/...".into()));
    assert_eq!((field("status"), &line["outcome"]), (201, &"delivered".into()));
    assert_eq!((field("tasks_succeeded"), field("tasks_failed"), field("tasks_skipped")), (2, 1, 1));
    assert_eq!(line.get("tasks_trapped"), None, "no task has trapped");
    assert!(field("headers_us") <= field("sent_us") && field("sent_us") <= field("ended_us"), "{line}");
    assert_eq!(line["trace_id"], TRACE);
    assert_eq!(line["request"].as_str(), request_id(&response));
    assert_eq!(field("bytes"), response.into_body().to_bytes().len() as u64);
    assert!(line["client"].as_str().unwrap().starts_with("127.0.0.1:"));
}

#[test]
fn the_access_log_has_requests_that_no_component_served() {
    let app = folder(&format!(
        "spin_manifest_version = 2\n[application]\nname = \"test\"\n[[trigger.http]]\nroute = \"/only\"\ncomponent = \"app\"\n\
         [component.app]\nsource = {:?}\n",
        guests::HELLO
    ));
    let host = Process::start(up(app.path(), ["--access-log", "--log-format", "json"]));
    ask(&host, "/other?secret=1", &[]);
    let line = access(&host, 1);
    assert_eq!((&line["message"], &line["path"], &line["status"]), (&"answered".into(), &"/other".into(), &404.into()));
    assert_eq!((line.get("route"), line.get("component")), (None, None));
}

#[test]
fn a_response_has_the_id_of_its_request() {
    let app = application(guests::TASKS, "");
    let host = Process::start(up(app.path(), []));
    let response = ask(&host, "/?run=ok", &[("x-request-id", "mine")]);
    let id = request_id(&response).expect("there should be an id");
    assert_ne!(id, "mine", "clients are not trusted");
    host.logged(&format!("request={id:?}"));
}

#[test]
fn a_clients_request_id_is_returned_if_the_operator_trusts_it() {
    let app = application(guests::TASKS, "");
    let host = Process::start(up(app.path(), ["--request-id", "trust", "--access-log", "--log-format", "json"]));
    let response = ask(&host, "/?run=ok", &[("x-request-id", "mine")]);
    assert_eq!(request_id(&response), Some("mine"));
    let line = access(&host, 1);
    assert_eq!(line["x_request_id"], "mine");
    // The tasks' identity must not be one that a client chooses.
    assert_ne!(line["request"], "mine");
    let long = "x".repeat(129);
    for (number, bad) in ["", "two words", &long].into_iter().enumerate() {
        let response = ask(&host, "/?run=ok", &[("x-request-id", bad)]);
        assert_eq!(request_id(&response), access(&host, 2 + number)["request"].as_str(), "{bad:?}");
    }
}

#[test]
fn a_host_may_leave_request_ids_alone() {
    let app = application(guests::TASKS, "");
    let host = Process::start(up(app.path(), ["--request-id", "off"]));
    assert_eq!(request_id(&ask(&host, "/?run=ok", &[("x-request-id", "mine")])), None);
}

#[test]
fn status_shows_what_a_host_does() {
    let (gate, folder) = (Gate::new(), tempfile::tempdir().unwrap());
    let app = application(guests::GATE, &format!("allowed_outbound_hosts = [{:?}]", gate.url()));
    let run = sockets_in(folder.path());
    let ended = Process::start(run(epilogue(["status"]))).ended();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr[0].contains("no host of this user runs here"), "{:?}", ended.stderr);
    let host = Process::start(run(up(app.path(), ["--access-log"])));
    get(host.address(), &gate.path("task"));
    let task = gate.wait();
    let ended = Process::start(run(epilogue(["status", "--json"]))).ended();
    let status: Value = serde_json::from_str(&ended.stdout[0]).unwrap();
    let request = &status["requests_now"][0];
    assert_eq!(
        (&status["state"], &status["draining"], &status["tasks_running"]),
        (&"ready".into(), &1.into(), &1.into())
    );
    assert_eq!((&request["phase"], &request["method"]), (&"draining".into(), &"GET".into()));
    assert_eq!(request["tasks"]["running"], 1);
    // The table has the same.
    let ended = Process::start(run(epilogue(["status"]))).ended();
    let row = ended.stdout.iter().find(|line| line.contains(request["id"].as_str().unwrap()));
    assert!(row.is_some_and(|row| row.contains("draining") && row.contains("1 running")), "{:?}", ended.stdout);
    host.signal("USR1");
    host.logged("1 running");
    task.open();
    host.logged("epilogue::access: served");
    host.signal("TERM");
    let ended = host.ended();
    assert_eq!(ended.code, Some(0), "{:?}", ended.stderr);
    assert_eq!(fs::read_dir(folder.path().join("epilogue")).unwrap().count(), 0, "the socket should be gone");
}

#[test]
fn status_counts_instances_and_refusals() {
    let (gate, folder) = (Gate::new(), tempfile::tempdir().unwrap());
    let app = application(guests::GATE, &format!("allowed_outbound_hosts = [{:?}]", gate.url()));
    let run = sockets_in(folder.path());
    let status = || -> Value {
        let ended = Process::start(run(epilogue(["status", "--json"]))).ended();
        serde_json::from_str(&ended.stdout[0]).unwrap()
    };
    // A host with a single place for an instance keeps no idle one.
    for (limit, idle) in [("max-requests", 1), ("max-instances", 0)] {
        let option = format!("--{limit}");
        let host = Process::start(run(up(app.path(), [option.as_str(), "1", "--access-log"])));
        let (address, path) = (host.address(), gate.path("handler"));
        let client = thread::spawn(move || get(address, &path));
        let handler = gate.wait();
        let before = status();
        assert_eq!((&before["instances_in_use"], &before["instances_idle"]), (&1.into(), &0.into()));
        assert_eq!(before["refused"], json!({}));
        assert_eq!(ask(&host, &gate.path("none"), &[]).status(), 503);
        assert_eq!(status()["refused"], json!({ limit: 1 }));
        let table = Process::start(run(epilogue(["status"]))).ended().stdout;
        let line = format!("refused     1 {limit}");
        assert!(table.contains(&line), "{table:?}");
        handler.open();
        client.join().unwrap();
        let has_ended = |status: Value| status["instances_in_use"] == 0 && status["instances_idle"] == idle;
        retry(|| has_ended(status()).then_some(()));
    }
}

#[test]
fn status_says_that_the_task_engine_does_not_answer_and_delays_no_stop() {
    let (server, folder) = (Server::redis(), tempfile::tempdir().unwrap());
    let app = application(guests::HELLO, "");
    let run = sockets_in(folder.path());
    let host = Process::start(run(up(app.path(), ["--engine", &server.url()])));
    get(host.address(), "/");
    let _stopped = server.stopped();
    let asking: Vec<_> = (0..4).map(|_| Process::start(run(epilogue(["status"])))).collect();
    for asking in asking {
        let ended = asking.ended();
        let line = "batches     0 here  the task engine does not answer";
        assert!(ended.stdout.iter().any(|other| other == line), "{:?}", ended.stdout);
    }
    // The host asks the task engine for the first signal, and stops at the second one.
    host.signal("USR1");
    host.signal("TERM");
    let ended = host.ended();
    assert_eq!(ended.code, Some(0));
    assert!(!ended.stderr.iter().any(|line| line.contains("does not answer")), "{:?}", ended.stderr);
}

#[test]
fn the_socket_of_a_killed_host_goes_when_the_next_one_starts() {
    let folder = tempfile::tempdir().unwrap();
    let app = application(guests::HELLO, "");
    let start = || {
        let host = Process::start(sockets_in(folder.path())(up(app.path(), [])));
        get(host.address(), "/");
        host
    };
    let sockets = || fs::read_dir(folder.path().join("epilogue")).unwrap().count();
    // Dropping it kills it.
    drop(start());
    assert_eq!(sockets(), 1);
    let next = start();
    assert_eq!(sockets(), 1);
    next.signal("TERM");
    assert_eq!(next.ended().code, Some(0));
    assert_eq!(sockets(), 0);
}

#[test]
fn metrics_measure_requests_and_tasks() {
    let app = application(guests::TASKS, "");
    let host = Process::start(up(app.path(), ["--metrics-listen", "127.0.0.1:0", "--access-log"]));
    get(host.address(), "/?run=ok,sync,fail,ok,flaky&on_failure=continue&backoff=1");
    host.logged("epilogue::access: served");
    let address = address(&host);
    let request = "http_request_method=\"GET\",http_response_status_code=\"200\",http_route=\"/...\",\
                   network_protocol_version=\"1.1\",url_scheme=\"http\"";
    let expected = [
        "# TYPE http_server_request_duration_seconds histogram".to_owned(),
        format!("http_server_request_duration_seconds_bucket{{{request},le=\"0.005\"}} "),
        format!("http_server_request_duration_seconds_bucket{{{request},le=\"+Inf\"}} 1"),
        format!("http_server_request_duration_seconds_count{{{request}}} 1"),
        "http_server_active_requests{http_request_method=\"GET\",url_scheme=\"http\"} 0".to_owned(),
        "epilogue_task_duration_seconds_count{component=\"app\",name=\"ok\",state=\"succeeded\"} 2".to_owned(),
        "epilogue_task_duration_seconds_count{component=\"app\",name=\"fail\",state=\"failed\"} 1".to_owned(),
        "epilogue_task_wait_seconds_count{component=\"app\",name=\"sync\"} 1".to_owned(),
        "epilogue_task_attempts_total{component=\"app\",name=\"flaky\"} 3".to_owned(),
        "epilogue_tasks_active 0".to_owned(),
        "epilogue_tasks_waiting 0".to_owned(),
        "epilogue_limit{limit=\"max-requests\"} 1000".to_owned(),
        "epilogue_limit_use{limit=\"max-requests\"} 0".to_owned(),
        "epilogue_versions 1".to_owned(),
    ];
    let is_in = |metrics: &str, line: &String| {
        metrics.lines().any(|other| other == line || line.ends_with(' ') && other.starts_with(line.as_str()))
    };
    let metrics = retry(|| {
        let metrics = get(address, "/metrics");
        expected.iter().all(|line| is_in(&metrics, line)).then_some(metrics)
    });
    for state in ["in-use", "idle"] {
        assert!(metrics.contains(&format!("epilogue_instances{{state={state:?}}} ")), "{metrics}");
    }
}
