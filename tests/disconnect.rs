//! If a client leaves, the host cancels only tasks with `cancel_on_disconnect` (S7).

use epilogue::testing::{RequestRecord, ResponseOutcome, TestHost};

use crate::durable::only_in_process;
use crate::gate::Gate;
use crate::guests;
use crate::process::retry;
use crate::socket::Socket;

fn states(record: &RequestRecord) -> Vec<&'static str> {
    record.tasks.iter().map(|task| task.state.as_str()).collect()
}

#[test]
fn s7_a_client_that_leaves_amid_the_body_cancels_no_task() {
    only_in_process!(EarlyStart);
    let host = TestHost::start(guests::BODY);
    let mut client = Socket::get(&host, &format!("/body?size={}", 64 << 20));
    client.read(1000);
    drop(client);

    let record = host.next_record();
    assert_eq!(states(&record), ["succeeded"]);
    assert!(matches!(record.outcome, ResponseOutcome::ClientGone), "{:?}", record.outcome);
    assert!(host.stdout().contains("ClientGone"), "the task is told as well");
}

#[test]
fn s7_a_client_that_leaves_before_the_response_cancels_neither_handler_nor_tasks() {
    only_in_process!(OwnScope);
    let gate = Gate::new();
    let host = gate.host(guests::GATE).start();
    let client = Socket::get(&host, &gate.path("handler"));
    let handler = gate.wait();
    drop(client);
    handler.open();

    let record = host.next_record();
    assert_eq!(host.stdout(), "handler\ntask\nsecond\nteardown\n");
    assert_eq!(states(&record), ["succeeded", "succeeded"]);
}

#[test]
fn s7_a_task_may_ask_to_be_cancelled_when_the_client_leaves() {
    let gate = Gate::new();
    let host = gate.host(guests::GATE).threads(1).start();
    let client = Socket::get(&host, &format!("{}&cancel=true", gate.path("handler")));
    let handler = gate.wait();
    drop(client);
    // The thread that answers this has by then seen that the first connection is closed.
    host.get("/?gate=none&at=none").drained();
    handler.open();

    let record = host.next_record();
    assert_eq!(states(&record), ["succeeded", "cancelled"], "{record:?}");
}

#[test]
fn s7_a_client_that_leaves_a_guest_that_computes_on_has_left_all_the_same() {
    let host = TestHost::component(guests::HOSTILE).setting("response-timeout", "2s").start();
    let mut client = Socket::get(&host, "/?do=spin&at=body&cancel=true");
    client.head();
    retry(|| host.stdout().contains("spins").then_some(()));
    drop(client);

    let record = host.next_record();
    assert!(matches!(record.outcome, ResponseOutcome::ClientGone), "{record:?}");
    assert_eq!(states(&record), ["cancelled"], "{record:?}");
    let error = "the guest was stopped after its response had ended: still running after 2s";
    assert_eq!(record.errors, [error], "{record:?}");
}
