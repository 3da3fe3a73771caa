//! The log: no text from a guest or a client can pass for an event, each line of the JSON format is JSON, and no line has a
//! password.

use std::collections::{BTreeSet, HashMap};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{Collected, Full};
use serde_json::Value;

use crate::client::{BOTH, Protocol, exchange, get};
use crate::durable::fixture::{Fixture, Kind, ask};
use crate::guests;
use crate::middleware;
use crate::process::{Ended, Process, application, folder, up};
use crate::stock::host::StockHost;

/// A text that ends its line, continues with a forged line of the log, and contains control characters for the
/// terminal.
const FORGED: &str = "x\r\n2026-11-28T00:00:00.000000Z  INFO epilogue::task: request=\"1\" state=\"succeeded\"\u{1b}[2J\u{2028}\u{202e}\u{85}\0";

/// The places where a guest can put a text that the host logs, each with the event's level and message.
const PLACES: [(&str, &str, &str); 3] =
    [("name", "INFO", "name=\"x"), ("task", "WARN", "error=\"x"), ("teardown", "ERROR", "the teardown failed ")];

fn post(address: SocketAddr, place: &str, body: impl Into<Bytes>) -> Response<Collected<Bytes>> {
    let request = Request::post(format!("/{place}")).body(Full::new(body.into())).unwrap();
    exchange(address, Protocol::Http1, request)
}

fn is_command(c: char) -> bool {
    c.is_control() || "\u{2028}\u{2029}\u{202e}".contains(c)
}

/// Checks that the text was logged for each place, in a field and on one line.
fn assert_quoted(lines: &[&str]) {
    let told: Vec<_> = lines.iter().filter(|line| line.contains("2026-11-28T00:00:00")).collect();
    assert_eq!(told.len(), PLACES.len(), "{told:#?}");
    for (line, (_, level, what)) in told.into_iter().zip(PLACES) {
        assert!(line.contains(&format!("{level} epilogue::")) && line.contains(what), "{line}");
        assert!(line.contains(r#"="x\r\n2026-11-28T00:00:00.000000Z  INFO epilogue::task: request=\"1\" "#), "{line}");
        assert!(!line.contains(is_command), "{line:?}");
    }
}

#[test]
fn a_guest_s_text_is_one_field_of_one_event() {
    let app = application(guests::TEXTS, "");
    let host = Process::start(up(app.path(), []));
    for (place, _, what) in PLACES {
        assert_eq!(post(host.address(), place, FORGED).status(), StatusCode::OK);
        // The events of the next request come later.
        host.logged(what);
    }
    host.signal("TERM");
    let stderr = host.ended().stderr;
    assert_quoted(&stderr.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn a_composed_guest_s_text_is_one_field_of_one_line() {
    let host = StockHost::start(guests::TEXTS);
    for (place, ..) in PLACES {
        let request = Request::post(format!("/{place}")).body(Bytes::from(FORGED)).unwrap();
        assert_eq!(host.send(request).status(), StatusCode::OK);
    }
    let records = host.next_records(3);
    assert_eq!(records[0].tasks[0].name, FORGED);
    assert_eq!(records[1].tasks[0].error.as_deref(), Some(FORGED));
    assert_eq!(records[2].errors, [format!("the teardown failed: {FORGED}")]);
    assert_quoted(&host.stderr().split('\n').collect::<Vec<_>>());
}

/// A worker logs tasks whose component it does not have.
#[test]
fn the_names_of_a_batch_s_tasks_are_one_field_of_one_event() {
    let fixture = Fixture::new(Kind::Sqlite);
    let app = application(guests::TEXTS, "");
    let host = Process::start(up(app.path(), ["--engine", &fixture.url, "--durable-attempts", "1"]));
    assert_eq!(post(host.address(), "durable", "").status(), StatusCode::OK);
    let manifest = std::fs::read_to_string(app.path().join("spin.toml")).unwrap();
    let other = folder(&manifest.replace("[component.app]", "[component.b]").replace("\"app\"", "\"b\""));
    let stranger = Process::start(fixture.worker_of(other.path()));
    stranger.logged("state=\"dead\"");
    stranger.signal("TERM");
    for line in stranger.ended().stderr {
        assert!(!line.starts_with(" INFO epilogue::task: lines"), "{line}");
    }
    let list = fixture.tasks(["dead"]);
    assert!(list.stdout.iter().all(|line| !line.starts_with(" INFO epilogue::task: lines")), "{:?}", list.stdout);
    let id = fixture.stored("dead").remove(0);
    let shown = fixture.tasks(["show", &id]).stdout;
    assert!(shown.iter().all(|line| !line.starts_with(" INFO epilogue::task: lines")), "{shown:?}");
}

#[test]
fn warnings_leave_out_only_what_succeeded() {
    let app = application(guests::TASKS, "");
    let host = Process::start(up(app.path(), ["--log", "warn"]));
    get(host.address(), "/?run=ok,fail,sync");
    get(host.address(), "/?run=ok&when=failure");
    let cancelled = application(guests::CANCEL, "");
    let other = Process::start(up(cancelled.path(), ["--log", "warn"]));
    get(other.address(), "/");
    other.logged("state=\"cancelled\"");
    host.signal("TERM");
    let lines = host.ended().stderr;
    let mut states: Vec<_> = lines.iter().filter_map(|line| line.split("state=\"").nth(1)?.split('"').next()).collect();
    // No order holds between two requests.
    states.sort_unstable();
    assert_eq!(states, ["discarded", "failed", "skipped"]);
}

/// What each request's guest has printed to stderr, and the events of other targets.
fn parse(ended: &Ended) -> (HashMap<String, String>, Vec<Value>) {
    let (mut printed, mut others) = (HashMap::<String, String>::new(), Vec::new());
    for line in &ended.stderr {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line} should be JSON"));
        assert!(event["timestamp"].is_string() && event["level"].is_string(), "{line}");
        if event["target"] != "epilogue::guest" {
            others.push(event);
            continue;
        }
        assert_eq!((event["component"].as_str(), event["stream"].as_str()), (Some("app"), Some("stderr")));
        let text = event["line"].as_str().unwrap();
        assert!(text.len() <= 16 << 10, "{} bytes", text.len());
        let all = printed.entry(event["request"].as_str().unwrap().to_owned()).or_default();
        all.push_str(text);
        if event["continues"] != true {
            all.push('\n');
        }
    }
    (printed, others)
}

#[test]
fn each_line_of_stderr_is_json_whatever_a_guest_prints() {
    let app = application(guests::TEXTS, "");
    let host = Process::start(up(app.path(), ["--log-format", "json", "--log", "warn"]));
    let long = format!("{}\n", "\u{fc}".repeat(1 << 19));
    let texts: [&[u8]; 6] =
        [b"a line\nand no end", b"\n\n\n", b"\xff\xfe \xf0\x9f\n", long.as_bytes(), b"\0\x1b[2J\r\n", b""];
    for text in texts {
        assert_eq!(post(host.address(), "stderr", text.to_vec()).status(), StatusCode::OK);
    }
    // A panic's message is several lines, and its instance does not live on.
    assert_eq!(post(host.address(), "panic", "two\nlines").status(), StatusCode::INTERNAL_SERVER_ERROR);
    host.signal("TERM");
    let (printed, others) = parse(&host.ended());
    let mut printed: Vec<_> = printed.into_iter().collect();
    // A request's id begins with its time.
    printed.sort();
    let printed: Vec<_> = printed.into_iter().map(|(_, text)| text).collect();
    assert_eq!(printed.len(), 6);
    assert_eq!(
        printed[..5],
        ["a line\nand no end\n", "\n\n\n", "\u{fffd}\u{fffd} \u{fffd}\n", &long, "\0\u{1b}[2J\r\n"]
    );
    assert!(printed[5].contains("panicked at") && printed[5].contains("two\nlines\n"), "{}", printed[5]);
    assert!(others.iter().any(|event| event["message"] == "the request failed"), "{others:?}");
}

#[test]
fn each_event_and_each_line_about_a_request_has_its_ids() {
    let app = application(guests::TASKS, "");
    let host = Process::start(up(app.path(), ["--log-format", "json", "--log", "debug", "--access-log"]));
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let request = Request::get("/?run=ok,flaky,panic,sync&on_failure=continue&backoff=1")
        .header("traceparent", format!("00-{trace}-b7ad6b7169203331-01"));
    let response = exchange(host.address(), Protocol::Http1, request.body(Full::<Bytes>::default()).unwrap());
    let id = response.headers()["x-request-id"].to_str().unwrap();
    host.logged("epilogue::access");
    host.signal("TERM");
    let Ended { stdout, stderr, .. } = host.ended();
    let events = |lines: &[String]| -> Vec<Value> {
        let objects = lines.iter().filter(|line| line.starts_with('{'));
        objects
            .map(|line| serde_json::from_str(line).unwrap())
            .filter(|event: &Value| event["request"] != Value::Null)
            .collect()
    };
    let (printed, told) = (events(&stdout), events(&stderr));
    for event in printed.iter().chain(&told) {
        assert_eq!((&event["request"], &event["trace_id"]), (&id.into(), &trace.into()), "{event}");
    }
    let targets: BTreeSet<_> = told.iter().filter_map(|event| event["target"].as_str()).collect();
    let expected = ["epilogue::access", "epilogue::guest", "epilogue::request", "epilogue::task"];
    assert!(targets.is_superset(&expected.into()), "{targets:?}");
    // The lines of the guest's stdout, with the numbers of their tasks.
    let lines: Vec<_> = printed.iter().map(|line| (line["task"].as_u64(), line["line"].as_str().unwrap())).collect();
    assert_eq!(
        lines,
        [
            (Some(1), "ok"),
            (Some(2), "flaky 1"),
            (Some(2), "flaky 2"),
            (Some(2), "flaky 3"),
            (Some(3), "panic"),
            (Some(4), "sync")
        ]
    );
    assert!(printed.iter().all(|line| line["stream"] == "stdout"), "{printed:?}");
    let panic = told.iter().find(|event| event["stream"] == "stderr" && event["task"] == 3);
    assert!(panic.is_some(), "{told:?}");
}

#[test]
fn a_line_of_a_task_names_the_component_that_runs_the_task() {
    let (folder, _) = middleware::host(guests::TASKS, middleware::ONE);
    let host = Process::start(up(folder.path(), ["--log-format", "json", "--access-log"]));
    get(host.address(), "/?run=ok");
    host.logged("epilogue::access");
    host.signal("TERM");
    let stdout = host.ended().stdout;
    let events = stdout.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let lines: Vec<_> = events.map(|event| format!("{} {}", event["component"], event["line"])).collect();
    // The teardown of a middleware is no task.
    assert_eq!(
        lines,
        ["\"around\" \"outer: first\"", "\"app\" \"ok\"", "\"around\" \"outer: last\"", "\"app\" \"outer: torn down\""]
    );
}

#[test]
fn a_line_of_text_has_the_trace_only_if_a_client_began_it() {
    let app = application(guests::TASKS, "");
    let host = Process::start(up(app.path(), []));
    get(host.address(), "/?run=ok");
    let own = host.logged("state=\"succeeded\"");
    assert!(own.contains("request=\"") && !own.contains("trace_id"), "{own}");
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let request = Request::get("/?run=fail").header("traceparent", format!("00-{trace}-b7ad6b7169203331-01"));
    exchange(host.address(), Protocol::Http1, request.body(Full::<Bytes>::default()).unwrap());
    let clients = host.logged("state=\"failed\"");
    assert!(clients.ends_with(&format!("trace_id=\"{trace}\"")), "{clients}");
}

#[test]
fn a_command_that_fails_says_so_in_json() {
    for (app, log) in [
        (folder("spin_manifest_version = 2\n[application]\nname = \"none\"\n[component.app]\nsource = 1\n"), "info"),
        (application("nowhere.wasm", ""), "off"),
    ] {
        let ended = Process::start(up(app.path(), ["--log-format", "json", "--log", log])).ended();
        assert_eq!(ended.code, Some(1));
        let (_, events) = parse(&ended);
        assert_eq!(events.last().unwrap()["level"], "ERROR", "{events:?}");
    }
}

#[test]
fn quiet_silences_guests_in_json_too() {
    let app = application(guests::TEXTS, "");
    let host = Process::start(up(app.path(), ["--log-format", "json", "--quiet"]));
    post(host.address(), "stderr", "hush\n");
    host.signal("TERM");
    assert!(parse(&host.ended()).0.is_empty());
}

/// Checks the log at its most detailed level, while the engine stops and starts.
fn tells_no_password(kind: Kind, url: impl Fn(&Fixture) -> String) {
    let mut fixture = Fixture::new(kind);
    let url = url(&fixture);
    let wrong = url.replace("secret", "wrong-secret");
    let start = |url, log| {
        let more = ["--engine", url, "--durable", "--work", "--log", log];
        Process::start(up(fixture.app.path(), more))
    };
    let refused = start(&wrong, "trace");
    refused.logged("engine");
    let host = start(&url, "async_nats=trace,redis=trace,trace");
    let address = host.address();
    for protocol in BOTH {
        let request = Request::get("/?run=ok").header("authorization", "Bearer secret").header("cookie", "a=secret");
        exchange(address, protocol, request.body(Full::<Bytes>::default()).unwrap());
    }
    host.printed("ok 1 ");
    fixture.pause();
    assert_eq!(ask(address, "run=ok").0, StatusCode::SERVICE_UNAVAILABLE);
    for process in [refused, host] {
        process.signal("TERM");
        let Ended { stdout, stderr, .. } = process.ended();
        let told: Vec<_> = stdout.iter().chain(&stderr).filter(|line| line.contains("secret")).collect();
        assert!(told.is_empty(), "{told:#?}");
    }
}

#[test]
fn a_nats_password_is_not_logged() {
    tells_no_password(Kind::Nats, |fixture| fixture.url_apart().replace("{}", "7"));
}

#[test]
fn a_redis_password_is_not_logged() {
    tells_no_password(Kind::Redis, |fixture| {
        let address = fixture.url.strip_prefix("redis://").unwrap();
        let mut server = TcpStream::connect(address).unwrap();
        server.write_all(b"CONFIG SET requirepass secret\r\n").unwrap();
        let mut answer = [0; 5];
        server.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"+OK\r\n");
        format!("redis://:secret@{address}")
    });
}
