//! Graceful shutdown: what has begun ends, and what cannot end in time is abandoned, and said to be (S13).

use std::net::TcpStream;
use std::time::Duration;

use epilogue::testing::{ResponseOutcome, Summary, TestHost};

use crate::durable::only_in_process;
use crate::gate::Gate;
use crate::guests;
use crate::process::retry;
use crate::socket::Socket;

const LONG: Duration = Duration::from_secs(60);

#[test]
fn s13_a_running_task_and_those_after_it_end_before_the_host_does() {
    only_in_process!(RunsElsewhere);
    let gate = Gate::new();
    let mut host = gate.host(guests::GATE).start();
    host.get(&gate.path("task")).response();
    let task = gate.wait();
    host.begin_shutdown(LONG);
    task.open();

    let summary = host.shut_down(LONG);
    assert_eq!(summary, Summary { requests: 1, tasks: 2, abandoned: 0, abandoned_at_stop: 0 });
    assert_eq!(host.stdout(), "handler\ntask\nsecond\nteardown\n");
}

#[test]
fn s13_a_running_handler_ends_its_request_before_the_host_does() {
    only_in_process!(RunsElsewhere);
    let gate = Gate::new();
    let mut host = gate.host(guests::GATE).start();
    let address = host.address();
    let exchange = host.get(&gate.path("handler"));
    let handler = gate.wait();
    host.begin_shutdown(LONG);
    // The listeners of all workers are about to close.
    retry(|| TcpStream::connect(address).err());
    handler.open();
    assert_eq!(exchange.text(), "passed");
    drop(exchange);
    assert_eq!(host.shut_down(LONG).tasks, 2);
    assert_eq!(host.stdout(), "handler\ntask\nsecond\nteardown\n");
}

#[test]
fn s13_what_does_not_end_within_the_grace_is_abandoned() {
    only_in_process!(RunsElsewhere);
    let gate = Gate::new();
    let mut host = gate.host(guests::GATE).start();
    host.get(&gate.path("task")).response();
    let _never_opened = gate.wait();

    let summary = host.shut_down(Duration::from_millis(200));
    assert_eq!(summary, Summary { requests: 1, tasks: 2, abandoned: 2, abandoned_at_stop: 2 });
    let states: Vec<_> = host.next_record().tasks.iter().map(|task| task.state.as_str()).collect();
    assert_eq!(states, ["abandoned", "abandoned"]);
}

#[test]
fn s13_a_stop_cuts_the_grace_short() {
    only_in_process!(RunsElsewhere);
    let gate = Gate::new();
    let mut host = gate.host(guests::GATE).start();
    host.get(&gate.path("task")).response();
    let _never_opened = gate.wait();
    host.begin_shutdown(LONG);
    host.stop();
    assert_eq!(host.shut_down(LONG).abandoned, 2);
}

#[test]
fn s13_a_client_that_the_host_leaves_has_not_left() {
    for _ in 0..8 {
        let mut host = TestHost::start(guests::HOSTILE);
        let mut client = Socket::get(&host, "/?do=wait&at=body&cancel=true");
        client.head();
        assert_eq!(host.shut_down(Duration::ZERO).abandoned, 1);
        let record = host.next_record();
        assert!(matches!(record.outcome, ResponseOutcome::ResponseFailed(_)), "{record:?}");
    }
}

#[test]
fn s13_what_a_client_did_not_read_in_time_was_not_sent_and_its_tasks_do_not_run() {
    only_in_process!(RunsElsewhere);
    // Of the first the guest has more to write, of the second it has written all.
    for size in [8 << 20, 192 << 10] {
        for _ in 0..4 {
            let mut host = TestHost::start(guests::BODY);
            let mut client = Socket::get(&host, &format!("/body?size={size}&fixed=true"));
            client.head();
            assert_eq!(host.shut_down(Duration::ZERO).abandoned, 1);
            let record = host.next_record();
            assert!(matches!(record.outcome, ResponseOutcome::ResponseFailed(_)), "{record:?}");
            assert!(!record.errors.iter().any(|error| error.contains("after its response had ended")), "{record:?}");
        }
    }
}

#[test]
fn s13_a_task_that_was_to_be_tried_again_is_abandoned() {
    only_in_process!(RunsElsewhere);
    let mut host = TestHost::start(guests::TASKS);
    host.get("/?run=again,ok").response();
    // Its first attempt is about to begin.
    retry(|| host.stdout().contains("fail\n").then_some(()));
    assert_eq!(host.shut_down(Duration::ZERO), Summary { requests: 1, tasks: 2, abandoned: 2, abandoned_at_stop: 2 });
}

#[test]
fn s13_a_task_is_told_that_the_host_stops() {
    only_in_process!(RunsElsewhere);
    let gate = Gate::new();
    let mut host = gate.host(guests::GATE).start();
    host.get(&gate.path("stopping")).response();
    gate.wait().open();
    let summary = host.shut_down(LONG);
    assert_eq!(summary, Summary { requests: 1, tasks: 2, abandoned: 0, abandoned_at_stop: 0 });
    assert_eq!(host.stdout(), "handler\nstopping: StopReason::Shutdown\nsecond\nteardown\n");
}

#[test]
fn s10_a_task_is_told_that_its_deadline_is_near() {
    only_in_process!(OwnScope);
    let gate = Gate::new();
    let host = gate.host(guests::GATE).setting("task-timeout", "5s").start();
    let exchange = host.get(&gate.path("stopping"));
    exchange.response();
    gate.wait().open();
    let record = exchange.drained();
    assert_eq!(record.tasks[0].state.as_str(), "succeeded", "it heeded the signal in time: {record:?}");
    assert_eq!(host.stdout(), "handler\nstopping: StopReason::Deadline\nsecond\nteardown\n");
}
