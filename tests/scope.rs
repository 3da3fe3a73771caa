//! The request's scope: torn down after the last task, once, in reverse order, and gone before the next request (S9).

use epilogue::testing::TestHost;

use crate::durable::only_in_process;
use crate::gate::Gate;
use crate::guests;

#[test]
fn s9_the_teardown_comes_last() {
    only_in_process!(OwnScope);
    let host = TestHost::start(guests::GATE);
    let exchange = host.get("/?gate=none&at=none");
    assert_eq!(exchange.text(), "passed");
    let record = exchange.drained();
    assert_eq!(record.teardowns, 1);
    assert_eq!(host.stdout(), "handler\ntask\nsecond\nteardown\n");
}

#[test]
fn s9_what_was_registered_last_is_torn_down_first_and_after_the_tasks() {
    only_in_process!(OwnScope);
    let host = TestHost::start(guests::CONTEXTS);
    host.get("/context_b_bg").drained();
    assert_eq!(host.stdout(), "started a\nstarted b\nbg\nfinished b\nfinished a\n");
}

#[test]
fn s9_the_teardown_runs_after_a_handlers_error_as_well() {
    let host = TestHost::start(guests::CONTEXTS);
    let record = host.get("/context_b_raise").drained();
    assert_eq!(record.status, 500);
    assert_eq!(host.stdout(), "started a\nstarted b\nfinished b\nfinished a\n");
}

#[test]
fn s9_an_instance_serves_no_other_request_before_its_teardown() {
    only_in_process!(OwnScope);
    let gate = Gate::new();
    let host = gate.host(guests::GATE).threads(1).start();
    let first = host.get(&gate.path("teardown"));
    first.response();
    let teardown = gate.wait();

    // Another instance serves it, from its start to its end.
    let second = host.get("/?gate=none&at=none");
    second.response();
    second.drained();
    assert_eq!(host.stdout(), "handler\ntask\nsecond\n".repeat(2) + "teardown\n");

    teardown.open();
    first.drained();
    assert_eq!(host.stdout(), "handler\ntask\nsecond\n".repeat(2) + "teardown\nteardown\n");
}

#[test]
fn s9_nothing_is_left_in_an_instance_after_a_request() {
    let host = TestHost::component(guests::BODY).threads(1).start();
    // What the guest opens once, such as its stdout, is opened now.
    host.get("/body?size=10").drained();
    for path in
        ["/body?size=10", "/body?size=1000000", "/body?size=10&fixed=true", "/body?size=0&status=204", "/broken"]
    {
        for _ in 0..20 {
            let record = host.get(path).drained();
            assert_eq!(record.leaked, 0, "{path}: {record:?}");
            assert_eq!(record.teardowns, 0, "it has nothing to tear down");
        }
    }
}

#[test]
fn s9_what_is_registered_behind_the_teardown_is_told_and_never_the_next_requests() {
    let gate = Gate::new();
    let host = gate.host(guests::LATE).threads(1).start();
    let exchange = host.get(&format!("/registers?{}", gate.url()));
    exchange.response();
    gate.wait().open();
    let record = exchange.drained();
    assert_eq!((record.teardowns, record.errors.len()), (1, 1), "{record:?}");
    assert!(record.errors[0].contains("registered too late"), "{record:?}");

    let next = host.get(&format!("/adds?{}", gate.url()));
    next.response();
    gate.wait().open();
    next.drained();
    assert_eq!(host.stdout(), "teardown\nclosure\nteardown\n");
}

#[test]
fn s9_what_is_registered_while_the_teardown_runs_is_part_of_it() {
    let gate = Gate::new();
    let host = gate.host(guests::LATE).threads(1).start();
    let exchange = host.get(&format!("/meanwhile?{}", gate.url()));
    exchange.response();
    gate.wait().open();
    let record = exchange.drained();
    assert_eq!((record.teardowns, record.errors.len()), (1, 0), "{record:?}");
    assert_eq!(host.stdout(), "in time\n");
}
