//! Closures are tasks in the memory of the instance that added them. They have the same order and the same states as
//! other tasks (S15).

use epilogue::testing::TestHost;

use crate::durable::only_in_process;
use crate::gate::Gate;
use crate::guests;
use crate::support::ends;

#[test]
fn s15_closures_keep_their_place_and_what_they_captured() {
    only_in_process!(ClosuresApart);
    let host = TestHost::start(guests::CLOSURES);
    let record = host.get("/capture").drained();

    let ended = ["defer succeeded", "say succeeded", "report succeeded", "say succeeded", "defer succeeded"];
    assert_eq!(ends(&record), ended);
    assert_eq!(host.stdout(), "named\n/capture first second\nnamed too\nfrom a closure\n");
}

#[test]
fn s15_a_closure_fails_as_any_task_does() {
    let host = TestHost::start(guests::CLOSURES);
    let record = host.get("/fail").drained();

    assert_eq!(ends(&record), ["it failed", "defer succeeded", "say succeeded"]);
    assert_eq!(record.tasks[0].error.as_deref(), Some("no paper"));
}

#[test]
fn s15_a_closure_lives_in_the_instance_of_the_task_that_made_it() {
    only_in_process!(ClosuresApart);
    let host = TestHost::start(guests::TASKS);
    let record = host.get("/?run=panic,closure,defers&on_failure=continue").drained();

    assert_eq!(
        ends(&record),
        ["panic trapped", "closure abandoned", "defers succeeded", "defer succeeded"],
        "the second one is in the fresh instance, which lives"
    );
    assert_eq!(host.stdout(), "panic\nclosure\n");
}

#[test]
fn s15_a_closure_is_abandoned_when_spawned_work_takes_its_instance() {
    let gate = Gate::new();
    let host = gate.host(guests::LATE).start();
    let exchange = host.get(&format!("/panics?{}", gate.url()));
    exchange.response();
    gate.wait().open();

    assert_eq!(ends(&exchange.drained()), ["defer abandoned", "say succeeded"]);
    assert_eq!(host.stdout(), "named\n");
}

#[test]
fn s15_a_closure_that_traps_or_hangs_takes_the_others_with_it() {
    let host = TestHost::start(guests::CLOSURES);
    for (path, state) in [("/panic", "it trapped"), ("/hang", "it timed-out")] {
        let record = host.get(path).drained();

        assert_eq!(ends(&record), [state, "defer abandoned", "say succeeded"]);
        assert_eq!(record.tasks[1].error.as_deref(), Some("the instance that held it had died"));
    }
    assert_eq!(host.stdout(), "named\nnamed\n", "named tasks ran in a fresh instance");
}

#[test]
fn s15_what_an_unused_closure_holds_is_let_go_before_the_teardown() {
    let host = TestHost::start(guests::CLOSURES);
    let record = host.get("/unused").drained();

    assert_eq!(ends(&record), ["defer cancelled", "defer failed", "defer skipped"]);
    assert_eq!(host.stdout(), "cancelled is let go\nskipped is let go\nteardown\n");
}

#[test]
fn s15_a_closure_cannot_be_tried_twice() {
    let host = TestHost::start(guests::CLOSURES);
    let exchange = host.get("/retry");

    let record = exchange.drained();
    assert!(record.tasks.is_empty(), "it was refused");
    let reason = format!("{:?}", record.outcome);
    assert!(reason.contains("a closure can be tried only once, because its first run consumes it"), "{reason}");
}
