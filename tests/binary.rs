//! The real executable: its output, its exit codes, and the paths that it answers itself.

use std::net::TcpListener;
use std::path::Path;

use epilogue_manifest::settings::{HostOverlay, SettingsOverlay};
use http::{Request, StatusCode};
use http_body_util::Empty;
use serde_json::Value;

use crate::client::{BOTH, Protocol, exchange, get};
use crate::guests;
use crate::monitor::address;
use crate::process::{Ended, Process, application, epilogue, folder, retry, up};
use crate::upstream::{Call, Upstream};

/// The options whose value is a duration.
const DURATIONS: [&str; 11] = [
    "grace",
    "max-lag",
    "idle-timeout",
    "send-timeout",
    "visibility-timeout",
    "request-timeout",
    "response-timeout",
    "task-timeout",
    "drain-timeout",
    "teardown-timeout",
    "body-timeout",
];

#[test]
fn help_says_what_there_is() {
    let help = run(["--help"]);
    for line in
        ["Usage: epilogue <COMMAND>", "up         Runs an application", "build      Builds an application's components"]
    {
        assert!(help.contains(line), "{line:?} should be in\n{help}");
    }
    let help = run(["up", "--help"]);
    for line in [
        "Usage: epilogue up [OPTIONS]",
        "-f, --from <PATH>",
        "--build",
        "--watch",
        "SIGHUP reloads the application",
        "The exit code is 0 if the host abandoned no task when it stopped",
        "-e, --env <KEY=VALUE>",
        "--listen <ADDR>",
        "[default: 127.0.0.1:3000]",
        "[env: EPILOGUE_LISTEN=]",
        "--grace <DURATION>",
        "Time that running requests and tasks have to end",
        "--on-failure <POLICY>",
        "--task-timeout <DURATION>",
        "[default: 30s]",
    ] {
        assert!(help.contains(line), "{line:?} should be in\n{help}");
    }
}

#[test]
fn the_address_comes_first_and_then_the_routes() {
    let app = folder(&format!(
        "spin_manifest_version = 2\n[application]\nname = \"two\"\n\
         [[trigger.http]]\nroute = \"/hello\"\ncomponent = \"one\"\n\
         [[trigger.http]]\nroute = \"/others/...\"\ncomponent = \"other\"\n\
         [[trigger.http]]\nroute = {{ private = true }}\ncomponent = \"other\"\n\
         [component.one]\nsource = {0:?}\n[component.other]\nsource = {0:?}\n",
        guests::HELLO
    ));
    let host = Process::start(up(app.path(), []));
    let url = format!("http://{}", host.address());
    host.printed("other");
    host.signal("TERM");
    let ended = host.ended();
    assert_eq!(
        ended.stdout,
        [
            format!("Serving {url}"),
            "Available Routes:".to_owned(),
            format!("  one: {url}/hello"),
            format!("  other: {url}/others (wildcard)"),
        ]
    );
}

#[test]
fn the_tutorials_lines_come_in_the_tutorials_order() {
    let app = application(guests::NOTIFY, "");
    let host = Process::start(up(app.path(), []));
    let request = Request::post("/send-notification/ada@example.com?q=shoes").body(Empty::new()).unwrap();
    let response = exchange(host.address(), Protocol::Http1, request);
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.into_body().to_bytes(), r#"{"message":"Message sent"}"#);
    host.signal("TERM");
    let ended = host.ended();
    assert_eq!(ended.stdout[3..], ["found query: shoes", "message to ada@example.com", "session closed"]);
    assert_eq!(ended.code, Some(0));
}

#[test]
fn quiet_silences_the_components_and_nothing_else() {
    let app = application(guests::NOTIFY, "");
    let host = Process::start(up(app.path(), ["--quiet"]));
    let request = Request::post("/send-notification/ada@example.com").body(Empty::new()).unwrap();
    exchange(host.address(), Protocol::Http1, request);
    host.signal("TERM");
    let ended = host.ended();
    assert_eq!(ended.stdout.len(), 3, "{:?}", ended.stdout);
    assert!(ended.stderr.iter().any(|line| line.contains("epilogue::task")), "{:?}", ended.stderr);
}

#[test]
fn s3_each_task_is_one_line_of_json() {
    let app = application(guests::TASKS, "");
    let host = Process::start(up(app.path(), ["--log-format", "json"]));
    let address = host.address();
    get(address, "/?run=ok,flaky,fail,closure");
    host.signal("INT");
    let ended = host.ended();
    let events: Vec<Value> = ended
        .stderr
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line} should be JSON")))
        .collect();
    let tasks = events.iter().filter(|event| event["target"] == "epilogue::task");
    // Each attempt that will be retried is an event too.
    let (tasks, retries): (Vec<&Value>, Vec<&Value>) = tasks.partition(|event| event["state"].is_string());
    assert!(retries.len() == 2 && retries.iter().all(|event| event["message"] == "will be retried"), "{retries:?}");
    let ends: Vec<_> = tasks
        .iter()
        .map(|task| (task["task"].as_u64(), task["name"].as_str(), task["state"].as_str(), task["attempt"].as_u64()))
        .collect();
    assert_eq!(
        ends,
        [
            (Some(1), Some("ok"), Some("succeeded"), Some(1)),
            (Some(2), Some("flaky"), Some("succeeded"), Some(3)),
            (Some(3), Some("fail"), Some("failed"), Some(1)),
            (Some(4), Some("closure"), Some("skipped"), Some(0)),
        ]
    );
    for task in &tasks {
        assert_eq!(task["component"], "app");
        assert_eq!(task["request"], tasks[0]["request"]);
        assert!(task["request"].is_string() && task["elapsed_us"].is_u64(), "{task}");
    }
    assert_eq!(tasks[2]["level"], "WARN");
    assert_eq!(tasks[2]["error"], "cannot print: no paper");
    assert_eq!(tasks[0].get("error"), None);
}

#[test]
fn s13_a_signal_lets_tasks_end() {
    let upstream = Upstream::start();
    let (host, task) = with_a_running_task(&upstream, []);
    host.signal("TERM");
    host.logged("stopping: 1 request, 1 task left, 30 s; the same signal again stops them at once");
    task.answer("in time");
    let ended = host.ended();
    assert_eq!(ended.stdout.last().unwrap(), "task: in time");
    assert_eq!(state(&ended), "succeeded");
    assert_eq!(ended.code, Some(0));
}

#[test]
fn s13_it_is_said_what_is_left_until_nothing_is() {
    let upstream = Upstream::start();
    let (host, first) = with_a_running_task(&upstream, ["--log-format", "json"]);
    get(host.address(), &format!("/later?{}", upstream.url()));
    let second = upstream.call();
    host.signal("TERM");
    let line: Value = serde_json::from_str(&host.logged("stopping: ")).unwrap();
    assert_eq!(line["message"], "stopping: 2 requests, 2 tasks left, 30 s; the same signal again stops them at once");
    first.answer("in time");
    let line: Value = serde_json::from_str(&host.logged("stopping: 1 request, 1 task left, ")).unwrap();
    let left = line["message"].as_str().unwrap().split(", ").last().unwrap().trim_end_matches(" s");
    assert!(left.parse::<u32>().unwrap() < 30, "{line}");
    second.answer("in time");
    let ended = host.ended();
    let line: Value = serde_json::from_str(ended.stderr.last().unwrap()).unwrap();
    assert_eq!(line["message"], "stopped after 2 requests and 2 tasks; the stop abandoned 0 of them");
}

#[test]
fn s13_a_second_signal_abandons_tasks() {
    let upstream = Upstream::start();
    let (host, _task) = with_a_running_task(&upstream, []);
    host.signal("TERM");
    host.logged("stopping: ");
    host.signal("TERM");
    let ended = host.ended();
    assert_eq!(state(&ended), "abandoned");
    assert_eq!(ended.code, Some(3));
}

#[test]
fn s13_a_signal_of_each_kind_is_one_wish_to_stop() {
    let upstream = Upstream::start();
    for [one, other] in [["INT", "TERM"], ["TERM", "INT"]] {
        let (host, task) = with_a_running_task(&upstream, []);
        host.signal(one);
        host.logged("stopping: ");
        host.signal(other);
        task.answer("in time");
        let ended = host.ended();
        assert_eq!(state(&ended), "succeeded");
        assert_eq!(ended.code, Some(0));

        // The first one again. The system may make one of two signals of a kind that come at once.
        let (host, _task) = with_a_running_task(&upstream, []);
        host.signal(one);
        host.logged("stopping: ");
        host.signal(other);
        host.signal(one);
        host.logged("stopping at once");
        assert_eq!(host.ended().code, Some(3));
    }
}

#[test]
fn s13_what_was_abandoned_before_the_stop_is_not_the_stop_s_fault() {
    let app = application(guests::TASKS, "");
    let host = Process::start(up(app.path(), []));
    get(host.address(), "/?run=panic,closure&on_failure=continue");
    host.logged("state=\"abandoned\"");
    host.signal("TERM");
    let ended = host.ended();
    assert_eq!(ended.code, Some(0), "{:?}", ended.stderr);
    assert!(
        ended.stderr.last().unwrap().ends_with("stopped after 1 request and 2 tasks; the stop abandoned 0 of them"),
        "{:?}",
        ended.stderr
    );
}

#[test]
fn s13_a_grace_that_has_passed_abandons_tasks() {
    let upstream = Upstream::start();
    let (host, _task) = with_a_running_task(&upstream, ["--grace", "100ms"]);
    host.signal("INT");
    let ended = host.ended();
    assert_eq!(state(&ended), "abandoned");
    assert_eq!(ended.code, Some(3));
}

#[test]
fn s13_a_host_that_stops_takes_no_more_connections() {
    let upstream = Upstream::start();
    let (host, task) = with_a_running_task(&upstream, []);
    host.signal("TERM");
    host.logged("stopping: ");
    // The port is free once more: whoever comes next can have it while tasks still run.
    let successor = retry(|| TcpListener::bind(host.address()).ok());
    drop(successor);
    task.answer("in time");
    assert_eq!(host.ended().code, Some(0));
}

#[test]
fn the_longest_duration_is_one_that_every_option_can_have() {
    let app = application(guests::TASKS, "");
    let names = [HostOverlay::names(), SettingsOverlay::names()].concat().into_iter();
    let options: Vec<String> =
        names.filter(|name| DURATIONS.contains(&name.as_str())).map(|name| format!("--{name}")).collect();
    assert_eq!(options.len(), DURATIONS.len());
    for name in &options {
        let ended = Process::start(up(app.path(), [name.as_str(), "500000000000years"])).ended();
        let expected = format!(
            "error: invalid value '500000000000years' for '{name} <DURATION>': \"500000000000years\" is too long: the longest \
             duration is \"1000days\""
        );
        assert_eq!((ended.code, ended.stderr.first()), (Some(2), Some(&expected)));
    }
    let host = Process::start(up(app.path(), options.iter().flat_map(|name| [name, "1000days"])));
    for protocol in BOTH {
        let request = Request::get("/?run=ok,flaky,closure").body(Empty::new()).unwrap();
        assert_eq!(exchange(host.address(), protocol, request).status(), StatusCode::OK);
    }
    host.logged_times("name=\"closure\" state=\"succeeded\"", 2);
    host.signal("TERM");
    let ended = host.ended();
    assert_eq!(ended.code, Some(0), "{:?}", ended.stderr);
}

#[test]
fn an_address_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let app = application(guests::HELLO, "");
    refuses(app.path(), &address, &format!("Error: cannot listen on http://{address}: Address already in use"));
}

#[test]
fn two_hosts_do_not_share_an_address() {
    let app = application(guests::HELLO, "");
    let first = Process::start(up(app.path(), []));
    let address = first.address().to_string();
    refuses(app.path(), &address, &format!("Error: cannot listen on http://{address}: Address already in use"));
}

#[test]
fn metrics_count_tasks_by_their_states() {
    let app = application(guests::TASKS, "");
    let host = Process::start(up(app.path(), ["--metrics-listen", "127.0.0.1:0"]));
    get(host.address(), "/?run=ok,sync,fail,ok");
    // The last task's event comes just before its count.
    host.logged("skipped");
    let address = address(&host);
    let metrics = retry(|| Some(get(address, "/metrics")).filter(|metrics| metrics.contains("skipped")));
    for line in [
        "# TYPE epilogue_tasks_total counter",
        "epilogue_tasks_total{component=\"app\",state=\"succeeded\"} 2",
        "epilogue_tasks_total{component=\"app\",state=\"failed\"} 1",
        "epilogue_tasks_total{component=\"app\",state=\"skipped\"} 1",
    ] {
        assert!(metrics.lines().any(|other| other == line), "{line:?} should be in\n{metrics}");
    }
}

#[test]
fn build_runs_the_manifests_commands() {
    let app = application("app.wasm", &format!("build.command = \"echo built; cp '{}' app.wasm\"", guests::HELLO));
    let ended = Process::start({
        let mut build = epilogue(["build", "--from"]);
        build.arg(app.path());
        build
    })
    .ended();
    assert_eq!(ended.code, Some(0));
    assert!(ended.stdout.is_empty(), "{:?}", ended.stdout);
    assert!(ended.stderr[0].starts_with("Building app: echo built; cp "), "{:?}", ended.stderr);
    assert_eq!(ended.stderr[1..], ["built"]);
    assert!(app.path().join("app.wasm").is_file());
}

#[test]
fn a_profile_has_its_own_source_and_build() {
    let command = format!("build.command = \"cp '{}' debug.wasm\"", guests::HELLO);
    let app = application("none.wasm", &format!("[component.app.profile.debug]\nsource = \"debug.wasm\"\n{command}"));
    let host = Process::start(up(app.path(), ["--build", "--profile", "debug"]));
    assert_eq!(get(host.address(), "/"), "Hello, world!");
    let stderr = Process::start(up(app.path(), ["--profile", "debug2"])).ended().stderr.join("\n");
    assert!(stderr.contains("no component has the profile \"debug2\": did you mean \"debug\"?"), "{stderr}");
}

#[test]
fn up_builds_first_if_told_to() {
    let app = application("app.wasm", &format!("build.command = \"echo built; cp '{}' app.wasm\"", guests::HELLO));
    let host = Process::start(up(app.path(), ["--build"]));
    assert_eq!(get(host.address(), "/"), "Hello, world!");
    // What the command printed is not in the way of the address.
    host.logged("built");
}

/// Starts a host, and a task on it that waits for the upstream's answer.
fn with_a_running_task<'a>(upstream: &Upstream, arguments: impl IntoIterator<Item = &'a str>) -> (Process, Call) {
    let app = application(guests::OUTBOUND, &format!("allowed_outbound_hosts = [{:?}]", upstream.url()));
    let host = Process::start(up(app.path(), arguments));
    assert_eq!(get(host.address(), &format!("/later?{}", upstream.url())), "later");
    (host, upstream.call())
}

/// The state in the event of the only task.
fn state(ended: &Ended) -> &str {
    let events: Vec<&String> = ended.stderr.iter().filter(|line| line.contains("epilogue::task")).collect();
    assert_eq!(events.len(), 1, "{:?}", ended.stderr);
    events[0].split_once("state=\"").expect("it should have a state").1.split('"').next().unwrap()
}

/// Checks that `epilogue up` at this address ends with this error.
fn refuses(app: &Path, address: &str, error: &str) {
    let mut command = epilogue(["up", "--listen", address, "--from"]);
    command.arg(app);
    let ended = Process::start(command).ended();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stdout.is_empty());
    assert!(ended.stderr.last().unwrap().starts_with(error), "{:?}", ended.stderr);
}

/// What `epilogue` prints with these arguments.
fn run<'a>(arguments: impl IntoIterator<Item = &'a str>) -> String {
    let ended = Process::start(epilogue(arguments)).ended();
    assert_eq!(ended.code, Some(0));
    ended.stdout.join("\n")
}
