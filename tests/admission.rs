//! Requests and drains have separate limits. A full host refuses requests, and loses no task (S12).

use bytes::Bytes;
use epilogue::testing::{TaskState, TestHost};
use futures::future::join_all;
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};

use crate::client::{connect, talk};
use crate::durable::only_in_process;
use crate::gate::Gate;
use crate::guests;
use crate::process::retry;
use crate::socket::Socket;
use crate::telling;

fn host(gate: &Gate, max_requests: &str, max_draining: &str) -> TestHost {
    gate.host(guests::GATE).setting("max-requests", max_requests).setting("max-draining", max_draining).start()
}

fn assert_refused(host: &TestHost) {
    let refused = host.get("/?gate=none&at=none");
    assert_eq!(refused.response().status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.response().headers()["retry-after"], "1");
}

fn assert_served(host: &TestHost) {
    let served = host.get("/?gate=none&at=none");
    assert_eq!(served.text(), "passed");
    assert_eq!(served.drained().tasks.len(), 2);
}

#[test]
fn s12_at_the_limit_of_requests_the_next_is_refused_and_those_at_work_end() {
    telling::listen();
    let gate = Gate::new();
    let host = host(&gate, "1", "1");
    let first = host.get(&gate.path("handler"));
    let handler = gate.wait();
    for _ in 0..3 {
        assert_refused(&host);
    }
    handler.open();
    assert_eq!(first.text(), "passed");
    assert!(first.drained().tasks.iter().all(|task| task.state == TaskState::Succeeded));
    assert_served(&host);
    let metrics = telling::listen().render();
    assert!(metrics.contains("epilogue_requests_refused_total{limit=\"max-requests\"} "), "{metrics}");
}

/// A client that has got a response may send its next request at once. Its previous request must not count any more at
/// that time.
#[test]
fn s12_as_many_clients_as_requests_may_be_at_work_meet_no_refusal() {
    const CLIENTS: usize = 64;
    let host = TestHost::component(guests::GATE).setting("max-requests", &CLIENTS.to_string()).threads(1).start();
    let address = host.address();
    let statuses = talk(join_all((0..CLIENTS).map(|_| async move {
        let mut connection = connect(address).await;
        let mut statuses = Vec::new();
        for _ in 0..50 {
            let request = Request::get("/?gate=none&at=none").header(HOST, "test").body(Empty::<Bytes>::new()).unwrap();
            let response = connection.send_request(request).await.unwrap();
            statuses.push(response.status());
            response.into_body().collect().await.unwrap();
        }
        statuses
    })));
    let refused = statuses.iter().flatten().filter(|status| **status != StatusCode::OK).count();
    assert_eq!(refused, 0, "of {}", CLIENTS * 50);
}

#[test]
fn s12_a_draining_request_leaves_its_place_to_the_next() {
    only_in_process!(RunsElsewhere);
    let gate = Gate::new();
    let host = host(&gate, "1", "3");
    let draining: Vec<_> = (0..3)
        .map(|_| {
            let exchange = host.get(&gate.path("task"));
            assert_eq!(exchange.text(), "passed");
            (gate.wait(), exchange)
        })
        .collect();
    // Now it is the drains that are too many.
    assert_refused(&host);
    for (task, exchange) in draining {
        task.open();
        assert!(exchange.drained().tasks.iter().all(|task| task.state == TaskState::Succeeded));
    }
    assert_served(&host);
}

#[test]
fn s12_a_request_that_was_let_in_goes_on_to_its_tasks_though_drains_are_too_many() {
    only_in_process!(RunsElsewhere);
    let gate = Gate::new();
    let host = host(&gate, "2", "1");
    let late = host.get(&gate.path("handler"));
    let handler = gate.wait();
    let draining = host.get(&gate.path("task"));
    let task = gate.wait();
    assert_refused(&host);
    handler.open();
    assert!(late.drained().tasks.iter().all(|task| task.state == TaskState::Succeeded));
    assert_refused(&host);
    task.open();
    assert!(draining.drained().tasks.iter().all(|task| task.state == TaskState::Succeeded));
    assert_served(&host);
}

#[test]
fn s12_a_thread_that_is_late_refuses_requests_but_for_a_few() {
    telling::listen();
    let host = TestHost::component(guests::HOSTILE).setting("max-lag", "1ms").threads(1).start();
    let mut busy: Vec<_> = (0..7).map(|_| Socket::get(&host, "/?do=spin&at=handler")).collect();
    let spinning = |count| retry(|| (host.stdout().matches("spins").count() == count).then_some(()));
    spinning(7);
    // However late they are, eight are never too many …
    for _ in 0..20 {
        let served = host.get("/?do=nothing&at=handler");
        assert_eq!(served.text(), "done");
        served.drained();
    }
    busy.push(Socket::get(&host, "/?do=spin&at=handler"));
    spinning(8);
    // … and nine are.
    let refused = host.get("/?do=nothing&at=handler");
    assert_eq!(refused.response().status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.response().headers()["retry-after"], "1");
    let metrics = telling::listen().render();
    assert!(metrics.contains("epilogue_requests_refused_total{limit=\"max-lag\"} "), "{metrics}");
}
