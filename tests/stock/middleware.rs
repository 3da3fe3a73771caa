//! Composed with middleware: one queue, and each guest runs its own tasks, as on the native host.

use bytes::Bytes;
use epilogue::testing::RequestRecord;
use http::Request;

use super::StockHost;
use crate::guests;
use crate::middleware::{ONE, TWO, get, host};
use crate::socket::Socket;
use crate::support::ends;

/// Makes the same requests on both hosts, and compares what comes of them.
fn same(guest: &str, native: &str, middleware: &[&str], requests: &[(&str, &str)]) {
    let (_folder, native) = host(guest, native);
    let native = native.start();
    let composed = StockHost::behind(middleware, guest, &[]);
    for (path, wish) in requests {
        let expected = get(&native, path, wish);
        let request = Request::get(*path).header("middleware", *wish).body(Bytes::new()).unwrap();
        let response = composed.send(request);
        assert_eq!(response.body(), expected.response().body(), "{path} {wish}");
        let told = |record: &RequestRecord| {
            let ids: Vec<_> = record.tasks.iter().map(|task| (task.id, task.error.clone())).collect();
            (ends(record), ids, record.teardowns, record.errors.clone())
        };
        assert_eq!(told(&composed.next_record()), told(&expected.drained()), "{path} {wish}");
        assert_eq!(composed.stdout(), native.stdout(), "{path} {wish}");
    }
    assert_eq!(composed.instances(), 1);
}

#[test]
fn s5_composed_tasks_of_a_middleware_and_of_the_guest_are_one_queue_and_each_runs_its_own() {
    let requests = [
        ("/?run=ok,sync,ok", ""),
        ("/?run=nested,closure,flaky", ""),
        ("/?run=ok", "fail"),
        ("/?run=ok&on_failure=continue", "fail"),
        ("/?run=ok", "answer"),
        ("/?run=ok&report=true", ""),
    ];
    same(guests::TASKS, ONE, &[guests::MIDDLEWARE], &requests);
}

#[test]
fn s9_composed_middleware_nests_and_is_torn_down_from_within() {
    let request = ("/?gate=none&at=none", "");
    same(guests::GATE, TWO, &[guests::MIDDLEWARE; 2], &[request, request]);
    same(guests::HELLO, TWO, &[guests::MIDDLEWARE; 2], &[("/", "")]);
}

#[test]
fn composed_the_first_middleware_is_the_outermost() {
    let (relay, middleware) = (guests::RELAY, guests::MIDDLEWARE);
    let native = format!("[{{ component = \"around\" }}, {{ path = {relay:?} }}]");
    same(guests::HELLO, &native, &[middleware, relay], &[("/", "")]);
    let native = format!("[{{ path = {relay:?} }}, {{ component = \"around\" }}]");
    same(guests::TASKS, &native, &[relay, middleware], &[("/?run=ok", "")]);
}

#[test]
fn s10_composed_a_task_behind_a_middleware_is_cut_at_its_deadline_and_the_instance_serves_on() {
    let host = StockHost::behind(&[guests::MIDDLEWARE], guests::TASKS, &[("EPILOGUE_ON_FAILURE", "continue")]);
    for _ in 0..2 {
        let mut client = Socket::connect_to(host.address());
        client.request("GET", "/?run=sleep,ok&within=200");
        let record = host.next_record();
        assert_eq!(ends(&record), ["first succeeded", "sleep timed-out", "ok succeeded", "ok succeeded"]);
    }
    assert_eq!(host.instances(), 1);
}
