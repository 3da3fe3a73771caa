//! The dashboard's JSON interface: what it shows, what it changes, and who may ask. `tests/dashboard/` has the tests of its
//! pages in a browser.

use std::collections::HashSet;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Collected, Full};
use serde_json::{Value, json};

use crate::client::{Protocol, exchange, get, send, talk};
use crate::gate::Gate;
use crate::guests;
use crate::process::{Process, application, epilogue, retry, sockets_in, up};

/// Asks the dashboard of a host.
struct Page(SocketAddr);

impl Page {
    fn of(host: &Process) -> Self {
        let line = host.printed("Dashboard http://");
        let address = line.split_once("http://").unwrap().1.split('/').next().unwrap();
        Self(address.parse().unwrap())
    }

    fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &Value) -> Response<Collected<Bytes>> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = if body.is_null() { String::new() } else { body.to_string() };
        exchange(self.0, Protocol::Http1, request.body(Full::new(Bytes::from(body))).unwrap())
    }

    fn get(&self, path: &str) -> Value {
        serde_json::from_str(&get(self.0, path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// The status and the JSON of a change.
    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let response = self.ask(Method::POST, path, &[("content-type", "application/json")], body);
        let (head, body) = response.into_parts();
        (head.status.as_u16(), serde_json::from_slice(&body.to_bytes()).unwrap_or_default())
    }

    fn status(&self, path: &str, headers: &[(&str, &str)]) -> u16 {
        self.ask(Method::GET, path, headers, &Value::Null).status().as_u16()
    }
}

#[test]
fn it_shows_a_requests_timeline() {
    let app = application(guests::TASKS, "");
    let host = Process::start(up(app.path(), ["--dashboard", "--access-log"]));
    let page = Page::of(&host);
    get(host.address(), "/?run=ok,flaky,fail,sync&backoff=1");
    host.logged("epilogue::access: served");
    let list = page.get("/api/requests");
    let summary = &list["requests"][0];
    assert_eq!((&list["seen"], &summary["phase"], &summary["status"]), (&1.into(), &"ended".into(), &200.into()));
    assert_eq!(summary["tasks"], json!({ "succeeded": 2, "failed": 1, "skipped": 1 }));
    let request = page.get(&format!("/api/requests/{}", summary["id"].as_str().unwrap()));
    let tasks = request["tasks"].as_array().unwrap();
    let named = |name: &str| tasks.iter().find(|task| task["name"] == name).unwrap();
    let moment = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{value} should be a moment"));
    // No attempt begins before the response is sent, and each begins after the one before it.
    let mut last = moment(&request["sent"]);
    for task in tasks {
        for attempt in task["attempts"].as_array().unwrap() {
            assert!(last <= moment(&attempt["began"]), "{request}");
            last = moment(&attempt["ended"]);
        }
    }
    assert!(last <= moment(&request["ended"]));
    assert!(tasks.iter().all(|task| moment(&task["end"]["at"]) <= moment(&request["ended"])), "{request}");
    assert_eq!(named("flaky")["attempts"].as_array().unwrap().len(), 3);
    // An instance that traps is replaced.
    assert_eq!(named("fail")["end"]["error"], "cannot print: no paper");
    assert_eq!(
        (&named("sync")["end"]["state"], named("sync")["attempts"].as_array().unwrap().len()),
        (&"skipped".into(), 0)
    );
    let printed: Vec<_> =
        request["lines"].as_array().unwrap().iter().map(|line| (&line["task"], &line["text"])).collect();
    assert!(
        printed.contains(&(&1.into(), &"ok".into())) && printed.contains(&(&3.into(), &"fail".into())),
        "{printed:?}"
    );
    // The filters of the list.
    for (query, count) in
        [("state=skipped", 1), ("state=trapped", 0), ("path=nothing", 0), ("task=ok&state=failed", 0), ("task=ok", 1)]
    {
        let found = page.get(&format!("/api/requests?{query}"))["requests"].as_array().unwrap().len();
        assert_eq!(found, count, "{query}");
    }
    let tasks = page.get("/api/tasks");
    let fail = tasks["tasks"].as_array().unwrap().iter().find(|task| task["name"] == "fail").unwrap();
    assert_eq!((&fail["states"]["failed"], &fail["errors"][0]["error"]), (&1.into(), &"cannot print: no paper".into()));
    let latency = page.get("/api/latency");
    assert_eq!(latency["points"][0]["count"], 1);
    assert!(moment(&latency["points"][0]["sent"]["p99"]) > 0);
    assert_eq!(page.status("/api/requests/none", &[]), 404);
}

/// The host reads the clock only for the first of several tasks that a guest adds together.
#[test]
fn a_task_is_added_while_its_handler_runs() {
    let app = application(guests::TASKS, "");
    let host = Process::start(up(app.path(), ["--dashboard", "--threads", "1"]));
    let page = Page::of(&host);
    for _ in 0..3 {
        get(host.address(), "/?run=ok,ok");
    }
    let list = retry(|| {
        let list = page.get("/api/requests");
        let ended = list["requests"].as_array().unwrap().iter().filter(|request| request["phase"] == "ended");
        (ended.count() == 3).then_some(list)
    });
    for summary in list["requests"].as_array().unwrap() {
        let request = page.get(&format!("/api/requests/{}", summary["id"].as_str().unwrap()));
        for task in request["tasks"].as_array().unwrap() {
            let [added, sent] = [&task["added"], &request["sent"]].map(|moment| moment.as_u64().unwrap());
            assert!(0 < added && added <= sent, "{request}");
        }
    }
}

#[test]
fn it_shows_what_runs_now() {
    let gate = Gate::new();
    let app = application(guests::GATE, &format!("allowed_outbound_hosts = [{:?}]", gate.url()));
    let host = Process::start(up(app.path(), ["--dashboard"]));
    let page = Page::of(&host);
    get(host.address(), &gate.path("task"));
    let task = gate.wait();
    let summary = &page.get("/api/requests")["requests"][0];
    assert_eq!((&summary["phase"], &summary["tasks"]["running"]), (&"draining".into(), &1.into()));
    let state = page.get("/api/host");
    assert_eq!(
        (&state["state"], &state["tasks_running"], &state["actions"]),
        (&"ready".into(), &1.into(), &false.into())
    );
    task.open();
    retry(|| (page.get("/api/requests")["requests"][0]["phase"] == "ended").then_some(()));
}

/// Threads copy and count their ended requests in batches, and also when someone asks for them.
#[test]
fn it_counts_each_request_once_while_clients_and_people_ask() {
    const CLIENTS: usize = 4;
    const REQUESTS: usize = 400;
    let app = application(guests::TASKS, "");
    let host = Process::start(up(app.path(), ["--dashboard"]));
    let (page, address) = (Page::of(&host), host.address());
    std::thread::scope(|threads| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| threads.spawn(move || (0..REQUESTS).for_each(|_| drop(get(address, "/?run=ok,fail,ok")))))
            .collect();
        while clients.iter().any(|client| !client.is_finished()) {
            let list = page.get("/api/requests?limit=1000");
            let listed = list["requests"].as_array().unwrap();
            let ids: HashSet<_> = listed.iter().map(|request| request["id"].as_str().unwrap()).collect();
            assert_eq!(ids.len(), listed.len(), "a request is listed twice");
            let ended = listed.iter().filter(|request| request["phase"] == "ended");
            for request in ended {
                assert_eq!(request["tasks"], json!({ "succeeded": 1, "failed": 1, "skipped": 1 }));
            }
        }
    });
    let all = CLIENTS * REQUESTS;
    let count = |state: &str| -> u64 {
        let tasks = page.get("/api/tasks")["tasks"].as_array().unwrap().clone();
        tasks.iter().filter_map(|task| task["states"][state].as_u64()).sum()
    };
    retry(|| (count("succeeded") >= all as u64).then_some(()));
    assert_eq!(["succeeded", "failed", "skipped"].map(count), [all as u64; 3]);
    assert_eq!(page.get("/api/requests")["seen"], all);
    let points = page.get("/api/latency")["points"].as_array().unwrap().clone();
    assert_eq!(points.iter().filter_map(|point| point["count"].as_u64()).sum::<u64>(), all as u64);
}

#[test]
fn it_tells_of_requests_as_they_come() {
    let app = application(guests::TASKS, "");
    let host = Process::start(up(app.path(), ["--dashboard"]));
    let page = Page::of(&host);
    let (found, last) = talk(async {
        let request = Request::get("/api/events").body(Full::<Bytes>::default()).unwrap();
        let mut events = send(page.0, Protocol::Http1, request).await.into_body();
        let mut text = String::new();
        let request = Request::get("/?run=ok").body(Full::<Bytes>::default()).unwrap();
        send(host.address(), Protocol::Http1, request).await.into_body().collect().await.unwrap();
        while !text.contains("event: requests") || !text.ends_with("\n\n") {
            let frame = events.frame().await.expect("the stream should go on").unwrap();
            text.push_str(&String::from_utf8_lossy(&frame.into_data().unwrap()));
        }
        let event = text.split("\n\n").find(|event| event.contains("event: requests")).unwrap().to_owned();
        let last = event.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
        (event, last)
    });
    assert!(found.contains("\"dropped\":0"), "{found}");
    assert!(last.parse::<u64>().is_ok());
}

#[test]
fn dead_tasks_are_retried_and_dropped_after_a_dry_run() {
    let app = application(guests::DURABLE, "");
    let engine = format!("sqlite:{}", app.path().join("tasks.db").display());
    let arguments = ["--engine", &engine, "--work", "--dashboard", "--dashboard-actions", "--durable-attempts", "1"];
    let host = Process::start(up(app.path(), arguments));
    let page = Page::of(&host);
    for _ in 0..3 {
        get(host.address(), "/?run=fail,ok");
    }
    let dead = retry(|| Some(page.get("/api/dead")).filter(|dead| dead["total"] == 3));
    assert_eq!(dead["groups"], json!([{ "task": "fail", "error": "no paper", "count": 3 }]));
    let batch = &dead["batches"][0];
    assert_eq!((&batch["task"], &batch["behind"], &batch["attempt"]), (&"fail".into(), &1.into(), &1.into()));
    let group = json!({ "task": "fail", "error": "no paper", "dry_run": true });
    assert_eq!(page.post("/api/dead/drop", &group), (200, json!({ "matches": 3, "tasks": 6 })));
    assert_eq!(page.get("/api/dead")["total"], 3, "a dry run changes nothing");
    let (status, answer) = page.post("/api/dead/drop", &json!({ "all": true, "expect": 2 }));
    assert_eq!((status, &answer["matches"]), (409, &3.into()));
    let one = json!({ "ids": [batch["id"]], "expect": 1 });
    assert_eq!(page.post("/api/dead/drop", &one), (200, json!({ "done": 1, "failed": [] })));
    // Each of its tasks has the state `dropped` (S3).
    host.logged_times("state=\"dropped\"", 2);
    assert_eq!(page.post("/api/dead/retry", &json!({ "all": true, "expect": 2 })).0, 200);
    host.logged_times("state=\"retried\"", 4);
    retry(|| (page.get("/api/dead")["total"] == 2).then_some(()));
    assert_eq!(page.ask(Method::POST, "/api/dead/drop", &[], &json!({ "all": true })).status().as_u16(), 415);
}

#[test]
fn without_actions_it_is_read_only() {
    let app = application(guests::DURABLE, "");
    let engine = format!("sqlite:{}", app.path().join("tasks.db").display());
    let host = Process::start(up(app.path(), ["--engine", &engine, "--dashboard"]));
    assert_eq!(Page::of(&host).post("/api/dead/drop", &json!({ "all": true })).0, 403);
}

#[test]
fn other_sites_and_other_machines_are_refused() {
    let app = application(guests::HELLO, "");
    let host = Process::start(up(app.path(), ["--dashboard"]));
    let page = Page::of(&host);
    assert_eq!(page.status("/api/host", &[]), 200);
    assert_eq!(page.status("http://example.com/api/host", &[]), 403, "its name may be made to mean this machine");
    assert_eq!(page.status("/api/host", &[("sec-fetch-site", "cross-site")]), 403);
    let response = page.ask(Method::GET, "/", &[], &Value::Null);
    let policy = response.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
    let ended = Process::start(up(app.path(), ["--dashboard=0.0.0.0:0"])).ended();
    assert!(ended.stderr.iter().any(|line| line.contains("set dashboard-token")), "{:?}", ended.stderr);
}

#[test]
fn a_token_is_asked_for_once() {
    let app = application(guests::HELLO, "");
    let host = Process::start(up(app.path(), ["--dashboard=0.0.0.0:0", "--dashboard-token", "secret"]));
    let line = host.printed("Dashboard http://");
    assert!(!line.contains("secret"), "{line}");
    let port = line.rsplit_once(':').unwrap().1.split('/').next().unwrap().parse().unwrap();
    let page = Page(SocketAddr::from(([127, 0, 0, 1], port)));
    assert_eq!(page.status("/api/host", &[]), 401);
    let response = page.ask(Method::GET, "/?token=secret", &[], &Value::Null);
    assert_eq!(response.status().as_u16(), 303);
    let cookie = response.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(page.status("/api/host", &[("cookie", &cookie), ("host", "example.com")]), 200);
}

#[test]
fn workers_are_shown_with_their_leases() {
    let (gate, folder) = (Gate::new(), tempfile::tempdir().unwrap());
    let app = application(guests::DURABLE, &format!("allowed_outbound_hosts = [{:?}]", gate.url()));
    let engine = format!("sqlite:{}", app.path().join("tasks.db").display());
    let run = sockets_in(folder.path());
    let host = run(up(app.path(), ["--engine", &engine, "--work", "--worker-id", "here", "--dashboard"]));
    let host = Process::start(host);
    let page = Page::of(&host);
    get(host.address(), &format!("/?run=knock,ok&gate={}", gate.url()));
    let knock = gate.wait();
    let answer = page.get("/api/workers");
    let worker = &answer["workers"][0];
    assert!(worker["name"].as_str().unwrap().starts_with("here-"), "{answer}");
    assert_eq!((&worker["leased"], &answer["batches"]["leased"]), (&1.into(), &1.into()));
    let batch = &worker["batches"][0];
    assert_eq!((&batch["task"], &batch["attempt"], &batch["behind"]), (&"knock".into(), &1.into(), &1.into()));
    assert!(batch["lease_left"].as_f64().unwrap() > 0.0, "{batch}");
    // The command has the same.
    let table = Process::start(run(epilogue(["status"]))).ended().stdout;
    let row = table.iter().find(|line| line.starts_with("here-")).unwrap_or_else(|| panic!("{table:?}"));
    assert!(row.contains(" 1  knock "), "{row}");
    knock.open();
    retry(|| (page.get("/api/workers")["workers"] == json!([])).then_some(()));
}

#[test]
fn an_engine_has_a_dashboard_without_a_host() {
    let app = application(guests::DURABLE, "");
    let engine = format!("sqlite:{}", app.path().join("tasks.db").display());
    let host = Process::start(up(app.path(), ["--engine", &engine, "--work", "--durable-attempts", "1"]));
    get(host.address(), "/?run=fail");
    host.logged("state=\"dead\"");
    let alone = Process::start(epilogue(["dashboard", "--engine", &engine]));
    let page = Page::of(&alone);
    assert_eq!(page.get("/api/dead")["total"], 1);
    assert_eq!(page.get("/api/workers")["batches"]["dead"], 1);
    assert_eq!(page.status("/api/requests", &[]), 404);
    alone.signal("TERM");
    assert_eq!(alone.ended().code, Some(0));
}
