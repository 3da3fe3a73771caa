//! The host panics in the middle of a request, because of a defect. It records the request's remaining tasks as
//! abandoned, and serves the next request (S3).

use http::Request;

use crate::durable::only_in_process;
use crate::gate::Gate;
use crate::guests;
use crate::support::ends;
use crate::telling::{self, Panic};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319";

/// Lets the host panic at a place in the request. Returns how the request's tasks ended by the record, and by the events.
fn panic_at(digit: char, place: impl FnOnce(String) -> Panic) -> (Vec<String>, Vec<String>) {
    telling::listen();
    let gate = Gate::new();
    let mut host = gate.host(guests::GATE).start();
    let trace = format!("{TRACE}{digit}");
    let request = Request::get(gate.path("task"))
        .header("traceparent", format!("00-{trace}-b7ad6b7169203331-01"))
        .body("".into())
        .unwrap();
    let exchange = host.send(request);
    assert_eq!(exchange.text(), "passed");
    let task = gate.wait();
    let id = exchange.response().headers()["x-request-id"].to_str().unwrap().to_owned();
    telling::panic_at(place(id.clone()));
    task.open();

    let record = exchange.drained();
    assert_eq!(record.id, id);
    drop(exchange);
    assert_eq!(host.get("/?gate=none&at=none").text(), "passed");
    assert!(host.shut_down(std::time::Duration::from_secs(60)).abandoned > 0);
    let events = telling::events(&id);
    (ends(&record), events.iter().map(|event| format!("{} {}", event["name"], event["state"])).collect())
}

#[test]
fn s3_what_waits_while_the_host_panics_is_abandoned() {
    only_in_process!(RunsElsewhere);
    let (ends, events) = panic_at('a', |request| Panic::AtEnd { request, task: "task" });
    assert_eq!(ends, ["task succeeded", "second abandoned"]);
    assert_eq!(events, ends);
}

#[test]
fn s3_what_runs_while_the_host_panics_is_abandoned() {
    only_in_process!(RunsElsewhere);
    let (ends, events) = panic_at('b', |request| Panic::AtBegin { request, task: "second" });
    assert_eq!(ends, ["task succeeded", "second abandoned"]);
    assert_eq!(events, ends);
}
