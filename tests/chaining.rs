//! Calls from one component to another within the process: `http://ID.spin.internal`.

use std::time::Duration;

use epilogue::testing::{RequestRecord, ResponseOutcome, TestHost, TestHostBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::gate::Gate;
use crate::guests;
use crate::process::{Process, epilogue, folder, up};
use crate::upstream::Upstream;

/// An application of the guest `outbound` on all paths, which may call `allowed`, and of a private component `called`.
fn application(called: &str, allowed: &str) -> TempDir {
    folder(&format!(
        "spin_manifest_version = 2\n[application]\nname = \"chain\"\n\
         [[trigger.http]]\nroute = \"/...\"\ncomponent = \"caller\"\n\
         [[trigger.http]]\nroute = {{ private = true }}\ncomponent = \"called\"\n\
         [component.caller]\nsource = {:?}\nallowed_outbound_hosts = [{allowed}]\n\
         [component.called]\nsource = {called:?}\nenvironment = {{ NAME = \"called\" }}\n\
         allowed_outbound_hosts = [\"http://127.0.0.1:*\"]\n",
        guests::OUTBOUND
    ))
}

fn host(app: &TempDir) -> TestHostBuilder {
    TestHost::manifest(app.path().join("spin.toml"))
}

const CALLED: &str = "\"http://called.spin.internal\"";

/// Takes the record of the next request that this component served.
fn record(host: &TestHost, component: &str) -> RequestRecord {
    (0..4).map(|_| host.next_record()).find(|record| record.component == component).expect("it should be among them")
}

#[test]
fn a_component_calls_another_one_by_its_name() {
    let app = application(guests::MIRROR, CALLED);
    let host = host(&app).start();
    let answer = host.get("/now?http://called.spin.internal/users/1?x=y");
    let seen: Value = serde_json::from_str(answer.text()).unwrap();
    for (key, expected) in
        [("name", "called"), ("method", "GET"), ("authority", "called.spin.internal"), ("path", "/users/1?x=y")]
    {
        assert_eq!(seen[key], expected, "{seen}");
    }
    for (name, expected) in [
        ("host", "called.spin.internal"),
        ("spin-full-url", "http://called.spin.internal/users/1?x=y"),
        ("spin-path-info", "/users/1"),
        ("spin-matched-route", "/..."),
        ("spin-raw-component-route", "/..."),
        ("spin-component-route", ""),
        ("spin-base-path", "/"),
        ("spin-client-addr", "0.0.0.0:0"),
    ] {
        assert_eq!(seen["headers"][name], json!([expected]), "{name}");
    }
    assert_eq!(record(&host, "called").status, 200);
}

#[test]
fn the_tasks_of_a_call_are_those_of_the_called_component() {
    let app = application(guests::TASKS, CALLED);
    let mut host = host(&app).start();
    let answer = host.get("/now?http://called.spin.internal/?run=ok,fail&on_failure=stop");
    assert_eq!(answer.text(), "1,2");
    let record = record(&host, "called");
    let tasks: Vec<_> = record.tasks.iter().map(|task| (task.component.as_ref(), task.state.as_str())).collect();
    assert_eq!(tasks, [("called", "succeeded"), ("called", "failed")]);
    let summary = host.shut_down(Duration::from_secs(60));
    assert_eq!((summary.requests, summary.tasks), (2, 2), "the caller has no task");
}

#[test]
fn a_call_needs_to_be_allowed() {
    for (allowed, expected) in [
        ("", "denied"),
        ("\"http://other.spin.internal\"", "denied"),
        ("\"https://called.spin.internal\"", "denied"),
        ("\"http://self\"", "denied"),
        ("\"http://*.spin.internal\"", "1"),
        ("\"*://*:*\"", "1"),
    ] {
        let app = application(guests::TASKS, allowed);
        let host = host(&app).start();
        assert_eq!(host.get("/now?http://called.spin.internal/?run=ok").text(), expected, "{allowed}");
    }
}

#[test]
fn a_component_that_does_not_exist_is_not_found() {
    let app = application(guests::TASKS, "\"http://*.spin.internal\"");
    let host = Process::start(up(app.path(), []));
    let told = crate::client::get(host.address(), "/now?http://nobody.spin.internal/");
    assert_eq!(told, "ErrorCode::DestinationNotFound");
    let line = host.logged("a request to http://nobody.spin.internal failed");
    assert!(line.contains("error=\"destination not found\" advice=\"only a component with a trigger can be called: add a trigger with route = { private = true }"), "{line}");
}

#[test]
fn a_call_without_a_place_fails_at_once() {
    let app = application(guests::TASKS, "\"http://*.spin.internal\"");
    let host = host(&app).setting("max-requests", "3").start();
    let nested = |depth: usize| "now?http://caller.spin.internal/".repeat(depth);
    assert_eq!(host.get(&format!("/{}", nested(2))).text(), "here I am, at caller.spin.internal");
    for _ in 0..3 {
        record(&host, "caller");
    }
    // A third call would be the fourth request at work.
    assert_eq!(host.get(&format!("/{}", nested(3))).text(), "ErrorCode::ConnectionLimitReached");
}

#[test]
fn a_choice_of_components_includes_what_they_may_call() {
    let app = application(guests::TASKS, CALLED);
    let host = Process::start(up(app.path(), ["--component-id", "caller"]));
    let stderr = host.ended().stderr.join("\n");
    let expected = "the component \"caller\" may call \"http://called.spin.internal\", but --component-id does not \
                    choose \"called\": add --component-id called";
    assert!(stderr.contains(expected), "{stderr}");
}

#[test]
fn s13_a_shutdown_waits_for_calls_and_lets_tasks_call() {
    let gate = Gate::new();
    let app = application(guests::TASKS, &format!("{CALLED}, {:?}", gate.url()));
    let mut host = host(&app).start();
    let answer = host.get(&format!("/then?{}&http://called.spin.internal/?run=ok", gate.url()));
    assert_eq!(answer.text(), "then");
    let waiting = gate.wait();
    host.begin_shutdown(Duration::from_secs(60));
    waiting.open();
    let summary = host.shut_down(Duration::from_secs(60));
    assert_eq!((summary.requests, summary.tasks, summary.abandoned), (2, 2, 0));
    let stdout = host.stdout();
    let mut lines: Vec<_> = stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["ok", "task: 1"]);
}

#[test]
fn a_call_ends_with_its_caller() {
    let upstream = Upstream::start();
    let app = application(guests::OUTBOUND, &format!("{CALLED}]\ntool.epilogue.request-timeout = \"200ms\" #"));
    let host = host(&app).start();
    let answer = host.get(&format!("/now?http://called.spin.internal/now?{}", upstream.url()));
    let call = upstream.call();
    assert_eq!(answer.response().status(), 504);
    // The called component goes on, as if its client had left.
    call.answer("late");
    let record = record(&host, "called");
    assert!(matches!(record.outcome, ResponseOutcome::ClientGone), "{record:?}");
}

#[test]
fn a_durable_task_calls_from_a_worker() {
    let app = application(guests::TASKS, CALLED);
    let engine = format!("sqlite:{}", app.path().join("tasks.db").display());
    let serving = Process::start(up(app.path(), ["--engine", &engine, "--durable"]));
    assert_eq!(crate::client::get(serving.address(), "/later?http://called.spin.internal/?run=ok"), "later");
    let mut worker = epilogue(["worker", "--engine", &engine, "--durable", "--from"]);
    worker.arg(app.path());
    let worker = Process::start(worker);
    // The tasks of the called component are stored too, and the worker runs them.
    worker.printed("task: 1");
    worker.printed("ok");
    worker.signal("TERM");
    assert_eq!(worker.ended().code, Some(0));
}
