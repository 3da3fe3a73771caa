//! Composed guests: with its adapters, a guest keeps the promises on a host without background tasks.
//!
//! Most tests send the same request to the native host and to the stock host, and compare. The others say why the hosts differ.

use std::time::Duration;

use bytes::Bytes;
use epilogue::testing::{RequestRecord, ResponseOutcome, TestHost};
use http::Request;

use crate::gate::Gate;
use crate::guests;
use crate::sent::{BUFFERS, MIB, SIZE, now, task_time};
use crate::socket::Socket;
use crate::support::ends;

mod deadlines;
mod limits;
mod middleware;
mod turns;

pub(crate) mod host;
mod output;
mod told;

use host::StockHost;

/// Makes the same request to the same guest on both hosts, and compares all that comes of it.
fn same(guest: &str, path: &str) -> RequestRecord {
    same_with(guest, path, &[])
}

/// Makes the same request to the same guest on both hosts, with settings by their name in a manifest, and compares.
fn same_with(guest: &str, path: &str, settings: &[(&str, &str)]) -> RequestRecord {
    let mut native = TestHost::component(guest).threads(1);
    for (name, value) in settings {
        native = native.setting(name, value);
    }
    let native = native.start();
    let exchange = native.get(path);
    let (expected, record) = (exchange.response(), exchange.drained());

    let variables: Vec<_> = settings
        .iter()
        .map(|(name, value)| (format!("EPILOGUE_{}", name.replace('-', "_").to_uppercase()), *value))
        .collect();
    let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let stock = StockHost::with(guest, &variables);
    let response = stock.get(path);
    let composed = stock.next_record();

    assert_eq!(response.status(), expected.status());
    assert_eq!(response.body(), expected.body());
    let told = |record: &RequestRecord| {
        let tasks: Vec<_> = record
            .tasks
            .iter()
            .map(|task| (task.id, task.name.clone(), task.state, task.attempt, task.error.clone()))
            .collect();
        (record.status, format!("{:?}", record.outcome), tasks, record.teardowns)
    };
    assert_eq!(told(&composed), told(&record));
    assert_eq!(stock.stdout(), native.stdout());
    // The native host tells of a handler's or a response's failure, but does not count it among the errors beside the tasks.
    let is_end =
        |error: &&String| error.starts_with("the request failed: ") || error.starts_with("the response failed: ");
    let beside = composed.errors.iter().filter(|error| !is_end(error));
    assert!(beside.eq(&record.errors), "{:?} instead of {:?}", composed.errors, record.errors);
    composed
}

#[test]
fn s1_composed_tasks_run_in_registration_order_one_at_a_time() {
    let record = same(guests::TASKS, "/?run=ok,sync,ok,closure,sync");
    assert_eq!(record.tasks.len(), 5);
    same(guests::TASKS, "/?run=slow,slow,sync");
}

#[test]
fn s2_a_composed_task_waits_for_a_slow_client() {
    let host = StockHost::start(guests::BODY);
    let mut client = Socket::connect_to(host.address());
    client.request("GET", &format!("/body?size={SIZE}&fixed=true"));
    client.head();
    client.read(SIZE - BUFFERS - MIB);
    let nearly = now();
    client.read(BUFFERS + MIB);

    assert!(matches!(host.next_record().outcome, ResponseOutcome::Delivered));
    assert!(task_time(&host.stdout()) > nearly, "the task ran while the host still had bytes to take");
}

#[test]
fn s2_composed_tasks_run_after_responses_without_a_body() {
    let host = StockHost::start(guests::BODY);
    for (method, path) in [
        ("GET", "/body?size=0"),
        ("GET", "/body?size=0&status=204"),
        ("GET", "/body?size=0&status=304"),
        ("HEAD", "/body?size=5&fixed=true"),
        ("HEAD", "/body?size=5"),
    ] {
        let mut client = Socket::connect_to(host.address());
        client.request(method, path);
        client.head();
        let record = host.next_record();
        assert!(matches!(record.outcome, ResponseOutcome::Delivered), "{method} {path}: {record:?}");
        assert_eq!(ends(&record), ["after succeeded"]);
    }
}

#[test]
fn composed_a_response_without_a_body_announces_none_and_one_that_is_not_final_is_a_failure() {
    let host = StockHost::start(guests::BODY);
    for (status, length) in [(204, None), (205, Some("0")), (304, None)] {
        let response = host.get(&format!("/body?size=5&fixed=true&status={status}"));
        assert_eq!((response.status().as_u16(), response.body().len()), (status, 0));
        assert_eq!(response.headers().get("content-length").map(|value| value.to_str().unwrap()), length);
        assert!(matches!(host.next_record().outcome, ResponseOutcome::Delivered));
    }
    let response = host.get("/body?size=5&fixed=true&status=103");
    assert_eq!(response.status(), 500);
    let record = host.next_record();
    assert!(matches!(&record.outcome, ResponseOutcome::HandlerFailed(why) if why.contains("status 103")), "{record:?}");
}

#[test]
fn s2_a_composed_body_that_ends_with_an_error_lets_the_tasks_run_and_says_so() {
    let host = StockHost::start(guests::BODY);
    let mut client = Socket::connect_to(host.address());
    client.request("GET", "/broken");
    let record = host.next_record();
    let ResponseOutcome::ResponseFailed(reason) = &record.outcome else { panic!("{record:?}") };
    assert_eq!(record.errors, [format!("the response failed: {reason}")], "it should be told once");
    assert_eq!(ends(&record), ["after succeeded"]);
    assert!(!client.rest().ends_with("0\r\n\r\n"), "the client should see that it is not all");
}

#[test]
fn s2_a_composed_body_that_is_not_as_long_as_announced_is_told_once() {
    let host = StockHost::start(guests::BODY);
    for (size, length) in [(11, 5), (5, 50)] {
        let mut client = Socket::connect_to(host.address());
        client.request("GET", &format!("/body?size={size}&length={length}"));
        let record = host.next_record();
        let reason =
            format!("the response failed: the guest wrote {size} bytes of a body whose content-length is {length}");
        assert_eq!(record.errors, [reason]);
        assert_eq!(ends(&record), ["after succeeded"]);
        let response = client.rest();
        assert!(response.split_once("\r\n\r\n").is_none_or(|(_, body)| body.len() < length), "{response}");
    }
}

#[test]
fn s3_composed_tasks_end_in_the_same_states_with_the_same_words() {
    for path in [
        "/?run=",
        "/?run=ok,sync,closure",
        "/?run=fail",
        "/?run=fail,ok,closure",
        "/?run=ok,closure&when=failure",
        "/?run=flaky",
    ] {
        same(guests::TASKS, path);
    }
    for path in ["/?run=gone", "/?run=changed"] {
        same(guests::STRANGERS, path);
    }
    same(guests::CANCEL, "/");
}

#[test]
fn s3_composed_tasks_are_told_in_the_native_log_s_words() {
    let host = StockHost::start(guests::TASKS);
    host.get("/?run=ok,fail");
    let request = host.next_record().id;
    let stderr = host.stderr();
    let mut lines = stderr.lines();
    let first = lines.next().unwrap();
    let expected = format!(
        " INFO epilogue::task: request=\"{request}\" task=1 name=\"ok\" state=\"succeeded\" attempt=1 elapsed_us="
    );
    assert!(first.starts_with(&expected), "{first}");
    let second = lines.next().unwrap();
    assert!(second.starts_with(" WARN epilogue::task: ") && second.ends_with("error=\"cannot print: no paper\""));
}

#[test]
fn s4_a_composed_failure_stops_the_rest_or_not() {
    same(guests::TASKS, "/?run=ok,fail,ok,closure");
    same(guests::TASKS, "/?run=fail,ok,fail,sync&on_failure=continue");
    same_with(guests::TASKS, "/?run=fail,ok", &[("on-failure", "continue")]);
}

#[test]
fn s4_composed_a_retry_is_told_and_waits_as_its_options_say() {
    let host = StockHost::start(guests::TASKS);
    host.get("/?run=flaky&backoff=300");
    let record = host.next_record();
    assert_eq!(record.tasks[0].attempt, 3);
    assert!(record.tasks[0].elapsed >= Duration::from_millis(300), "half of it at the least, twice");
    let stderr = host.stderr();
    let retries: Vec<_> = stderr.lines().filter(|line| line.contains("will be retried")).collect();
    assert_eq!(retries.len(), 2, "{stderr}");
    for (line, attempt) in retries.into_iter().zip(1..) {
        let start = format!(" INFO epilogue::task: will be retried request=\"{}\" task=1 name=\"flaky\"", record.id);
        let rest = line.strip_prefix(&start).unwrap_or_else(|| panic!("{line}"));
        let pause = rest.strip_prefix(&format!(" attempt={attempt} retry_in=\"")).unwrap_or_else(|| panic!("{line}"));
        let (pause, error) = pause.split_once("ms\" ").unwrap_or_else(|| panic!("{line}"));
        assert!((150..=300).contains(&pause.parse().unwrap()), "{line}");
        assert_eq!(error, "error=\"not yet\"");
    }
}

#[test]
fn s5_composed_there_is_one_queue_whoever_adds() {
    assert_eq!(same(guests::SOURCES, "/").teardowns, 2);
    assert_eq!(same(guests::TASKS, "/?run=nested,nested,sync").teardowns, 0);
}

#[test]
fn s6_composed_a_response_of_any_status_runs_tasks_and_a_handler_s_error_those_that_asked() {
    for path in ["/200", "/404", "/500", "/error"] {
        same(guests::ENDS, path);
    }
}

#[test]
fn s6_a_composed_handler_s_error_leaves_nothing_to_the_next_request() {
    let host = StockHost::start(guests::ENDS);
    for path in ["/error", "/200", "/error", "/404"] {
        host.get(path);
        let ids: Vec<_> = host.next_record().tasks.iter().map(|task| task.id).collect();
        assert_eq!(ids, [1, 2, 3, 4], "{path}");
    }
    assert_eq!(host.instances(), 1);
}

#[test]
fn s7_composed_a_client_that_leaves_cancels_no_task() {
    let host = StockHost::start(guests::BODY);
    let mut client = Socket::connect_to(host.address());
    client.request("GET", &format!("/body?size={SIZE}"));
    client.read(1000);
    drop(client);
    let record = host.next_record();
    assert!(matches!(record.outcome, ResponseOutcome::ClientGone), "{record:?}");
    assert_eq!(ends(&record), ["after succeeded"]);
    assert!(host.stdout().contains("ClientGone"), "the task is told as well");
}

#[test]
fn s7_composed_a_task_that_is_added_when_the_client_leaves_runs() {
    let host = StockHost::start(guests::BODY);
    let mut client = Socket::connect_to(host.address());
    client.request("GET", "/left");
    client.read(1000);
    drop(client);
    let record = host.next_record();
    assert_eq!(ends(&record), ["defer succeeded"], "{record:?}");
    assert_eq!(host.stdout().lines().next_back(), Some("teardown"));
}

#[test]
fn s7_composed_a_task_may_ask_to_be_cancelled_when_the_client_leaves() {
    let gate = Gate::new();
    let host = StockHost::start(guests::GATE);
    let mut client = Socket::connect_to(host.address());
    client.request("GET", &format!("{}&cancel=true", gate.path("handler")));
    let handler = gate.wait();
    drop(client);
    // The thread that answers this has by then seen that the first connection is closed.
    host.get("/?gate=none&at=none");
    host.next_record();
    handler.open();
    assert_eq!(ends(&host.next_record()), ["task succeeded", "second cancelled"]);
}

#[test]
fn s8_composed_tasks_start_after_the_streams_end() {
    let host = StockHost::start(guests::BODY);
    let mut client = Socket::connect_to(host.address());
    client.write("POST /echo HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n");
    for round in 0..3 {
        client.write("4\r\nping\r\n");
        if round == 0 {
            client.head();
        }
        client.read("4\r\nping\r\n".len());
        assert_eq!(host.stdout(), "", "the stream has not ended");
    }
    client.write("0\r\n\r\n");
    client.read("0\r\n\r\n".len());
    assert_eq!(ends(&host.next_record()), ["after succeeded"]);
}

#[test]
fn s9_composed_the_teardown_comes_last_and_in_reverse_order() {
    same(guests::GATE, "/?gate=none&at=none");
    for path in ["/context_b_bg", "/context_b_raise", "/async_raise"] {
        same(guests::CONTEXTS, path);
    }
    for path in ["/broken", "/sub", "/request-scope", "/broken-session-data"] {
        same(guests::SESSIONS, path);
    }
}

#[test]
fn s15_composed_closures_are_tasks_too() {
    for path in ["/capture", "/fail", "/unused"] {
        same(guests::CLOSURES, path);
    }
}

#[test]
fn s16_composed_tasks_know_their_request_and_its_trace() {
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let host = StockHost::start(guests::IDENTITY);
    let request = Request::get("/").header("traceparent", PARENT).header("tracestate", "vendor=1");
    let response = host.send(request.body(Bytes::new()).unwrap());
    let record = host.next_record();
    assert_eq!(record.trace_id, PARENT[3..35]);
    let id = &record.id;
    let uuid: Vec<_> = id.split('-').map(str::len).collect();
    assert_eq!((uuid, &id[14..15]), (vec![8, 4, 4, 4, 12], "7"), "{id} is not a UUID of version 7");
    let tasks = format!("{id} {PARENT} vendor=1 {id}:1\n{id} {PARENT} vendor=1 {id}:2\n");
    assert_eq!(host.stdout(), format!("{tasks}{id} {PARENT} torn-down\n"));
    assert_eq!(response.body(), format!("{id} {PARENT}").as_bytes());

    let without = Request::get("/");
    let with_two = Request::get("/").header("traceparent", PARENT).header("traceparent", PARENT);
    for request in [without, with_two] {
        host.send(request.body(Bytes::new()).unwrap());
        let record = host.next_record();
        let stdout = host.stdout();
        let own = stdout.lines().last().unwrap();
        assert!(own.starts_with(&format!("{} 00-{}-", record.id, record.trace_id)), "{own}");
        assert_ne!(&record.id, id);
        assert_ne!(record.trace_id, PARENT[3..35]);
    }
}

#[test]
fn s17_composed_sync_and_async_functions_are_tasks() {
    same(guests::TASKS, "/?run=sync,slow,sync");
}

#[test]
fn composed_tasks_get_their_arguments_as_they_were_enqueued() {
    same(guests::VALUES, "/");
    same(guests::VALUES, "/refused");
}

#[test]
fn a_guest_without_the_sdk_leaves_out_the_stop_signal_when_composed_too() {
    assert_eq!(same(guests::WITHOUT_SDK, "/").tasks.len(), 3);
}

/// The guest's SDK sets this status, ignores the host's error, and keeps 200. Only the native host logs that.
#[test]
fn a_composed_guest_s_status_that_http_does_not_have_becomes_200() {
    let host = StockHost::start(guests::ENDS);
    assert_eq!(host.get("/600").status(), 200);
    assert_eq!(host.next_record().status, 200);
}

#[test]
fn s18_composed_spawned_work_goes_on_to_its_end_though_the_teardown_does_not_wait() {
    let gate = Gate::new();
    let host = StockHost::start(guests::GATE);
    host.get(&gate.path("spawned"));
    let spawned = gate.wait();
    assert_eq!(host.next_record().teardowns, 1);
    spawned.open();
    host.wait_for_line("spawned");
}
