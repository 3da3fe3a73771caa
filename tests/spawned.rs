//! The host waits for work that the guest has spawned before it calls the teardown (S18).

use epilogue::testing::{ResponseOutcome, TestHost};

use crate::durable::only_in_process;
use crate::gate::Gate;
use crate::guests;
use crate::process::retry;
use crate::socket::Socket;
use crate::support::ends;

#[test]
fn s18_spawned_work_ends_before_the_teardown() {
    only_in_process!(OwnScope);
    let gate = Gate::new();
    let host = gate.host(guests::GATE).start();
    let exchange = host.get(&gate.path("spawned"));
    assert_eq!(exchange.text(), "passed");
    let spawned = gate.wait();
    spawned.open();
    exchange.drained();
    let stdout = host.stdout();
    assert!(stdout.ends_with("teardown\n") && stdout.contains("spawned\n"), "{stdout}");
}

#[test]
fn s18_what_spawned_work_adds_runs_before_the_teardown() {
    let gate = Gate::new();
    let host = gate.host(guests::LATE).start();
    let exchange = host.get(&format!("/adds?{}", gate.url()));
    exchange.response();
    gate.wait().open();

    let record = exchange.drained();
    assert_eq!(ends(&record), ["defer succeeded"], "{record:?}");
    assert_eq!(record.teardowns, 1);
    assert_eq!(host.stdout(), "closure\nteardown\n");
}

#[test]
fn s18_spawned_work_that_outlives_the_budget_is_stopped_and_the_teardown_still_runs() {
    let gate = Gate::new();
    let host = gate.host(guests::GATE).setting("drain-timeout", "500ms").threads(1).start();
    let exchange = host.get(&gate.path("spawned"));
    exchange.response();
    let _never_opened = gate.wait();
    let record = exchange.drained();
    assert!(record.errors.iter().any(|error| error.contains("spawned")), "{record:?}");
    assert_eq!(record.teardowns, 1);

    // The instance went with it: nothing of the request appears in the next one.
    host.get("/?gate=none&at=none").drained();
    assert!(!host.stdout().contains("spawned"), "{}", host.stdout());
}

#[test]
fn s3_spawned_work_that_traps_behind_the_whole_body_is_told() {
    let gate = Gate::new();
    let host = gate.host(guests::BODY).start();
    // All that the guest may write before the client reads: the system takes two thirds of it.
    let size = 192 * 1024;
    let mut client = Socket::get(&host, &format!("/body?size={size}&fixed=true&gate={}", gate.url()));
    client.head();
    retry(|| host.stdout().contains("all is written").then_some(()));
    gate.wait().open();
    retry(|| host.stderr().contains("behind the gate").then_some(()));
    client.read(size);
    let record = host.next_record();
    assert_eq!(ends(&record), ["after succeeded"]);
    assert!(matches!(record.outcome, ResponseOutcome::Delivered), "{record:?}");
    assert!(record.errors.iter().any(|error| error.contains("spawned")), "{record:?}");
}

#[test]
fn s10_spawned_work_is_told_of_its_own_end_rather_than_of_the_handlers() {
    let host = TestHost::component(guests::LATE).setting("drain-timeout", "6s").start();
    let record = host.get("/stops").drained();
    assert!(record.errors.is_empty(), "{record:?}");
    assert_eq!(host.stdout(), "stop: StopReason::Deadline\n");

    let host =
        TestHost::component(guests::LATE).setting("request-timeout", "1s").setting("drain-timeout", "1m").start();
    host.get("/stops").response();
    host.get("/stops").response();
    host.begin_shutdown(std::time::Duration::from_secs(60));
    host.next_record();
    host.next_record();
    assert_eq!(host.stdout(), "stop: StopReason::Shutdown\nstop: StopReason::Shutdown\n");
}

#[test]
fn s18_tasks_do_not_wait_for_all_of_it_and_it_still_ends() {
    let host = TestHost::component(guests::LATE).start();
    let record = host.get("/yields").drained();
    assert_eq!(ends(&record), ["say succeeded"], "{record:?}");
    assert!(record.errors.is_empty(), "{record:?}");
    assert_eq!(host.stdout(), "task\nended\n");
}

#[test]
fn s14_spawned_work_that_computes_for_ever_ends_with_its_instance_and_the_tasks_run_in_another() {
    let gate = Gate::new();
    let host = gate.host(guests::LATE).setting("drain-timeout", "3s").setting("response-timeout", "1s").start();
    let exchange = host.get(&format!("/spins?{}", gate.url()));
    assert_eq!(exchange.text(), "done");
    gate.wait().open();
    let record = exchange.drained();
    assert_eq!(ends(&record), ["say succeeded"], "{record:?}");
    assert!(record.errors.iter().any(|error| error.contains("spawned was cut short")), "{record:?}");
    assert_eq!(host.stdout(), "task\n");
}
