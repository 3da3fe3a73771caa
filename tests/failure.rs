//! Failures: how a failed task affects the next tasks (S4), how a failed handler affects its tasks (S6), and how both
//! affect other requests (S14).

use epilogue::testing::{ResponseOutcome, TestHost};

use crate::durable::only_in_process;
use crate::guests;
use crate::socket::Socket;
use crate::support::ends;

#[test]
fn s4_a_failure_stops_the_rest_unless_told_otherwise() {
    only_in_process!(ClosuresApart);
    let host = TestHost::start(guests::TASKS);
    let record = host.get("/?run=ok,fail,ok,closure").drained();

    assert_eq!(ends(&record), ["ok succeeded", "fail failed", "ok skipped", "closure skipped"]);
    assert_eq!(host.stdout(), "ok\nfail\n");
}

#[test]
fn s4_the_guest_can_let_the_rest_run() {
    let host = TestHost::start(guests::TASKS);
    let record = host.get("/?run=fail,ok,fail,sync&on_failure=continue").drained();

    assert_eq!(ends(&record), ["fail failed", "ok succeeded", "fail failed", "sync succeeded"]);
    assert_eq!(host.stdout(), "fail\nok\nfail\nsync\n");
}

#[test]
fn s4_the_operator_sets_what_holds_by_default() {
    only_in_process!(DeadLetter);
    let host = TestHost::component(guests::TASKS).setting("on-failure", "continue").start();

    let record = host.get("/?run=fail,ok").drained();
    assert_eq!(ends(&record), ["fail failed", "ok succeeded"]);
    let record = host.get("/?run=fail,ok&on_failure=stop").drained();
    assert_eq!(ends(&record), ["fail failed", "ok skipped"], "the guest has the last word");
}

#[test]
fn s4_what_a_teardown_adds_runs_after_a_failed_task_too() {
    only_in_process!(OwnScope);
    let host = TestHost::start(guests::TASKS);
    let record = host.get("/?run=fail,sync&report=true").drained();

    assert_eq!(ends(&record), ["fail failed", "sync skipped", "ok succeeded"]);
    assert_eq!(record.teardowns, 1, "the task that it added has left nothing to tear down");
}

#[test]
fn s4_one_request_s_policy_is_not_the_next_one_s() {
    only_in_process!(DeadLetter);
    let host = TestHost::component(guests::TASKS).threads(1).start();
    host.get("/?run=ok&on_failure=continue").drained();

    let record = host.get("/?run=fail,ok").drained();
    assert_eq!(ends(&record), ["fail failed", "ok skipped"]);
}

#[test]
fn s4_a_task_fails_only_after_its_last_attempt() {
    let host = TestHost::start(guests::TASKS);
    let record = host.get("/?run=flaky,ok").drained();

    assert_eq!(ends(&record), ["flaky succeeded", "ok succeeded"]);
    assert_eq!(host.stdout(), "flaky 1\nflaky 2\nflaky 3\nok\n");
}

#[test]
fn s4_what_did_not_fail_stops_nothing() {
    let host = TestHost::start(guests::CANCEL);
    let record = host.get("/").drained();

    assert_eq!(record.tasks[1].state.as_str(), "cancelled");
    assert_eq!(record.tasks[4].state.as_str(), "succeeded");
}

#[test]
fn s14_after_a_trap_the_rest_is_skipped_or_runs_in_a_fresh_instance() {
    only_in_process!(ClosuresApart);
    let host = TestHost::start(guests::TASKS);
    let record = host.get("/?run=panic,ok").drained();
    assert_eq!(ends(&record), ["panic trapped", "ok skipped"]);

    let record = host.get("/?run=panic,ok,spin,sync,fail,closure&within=200&on_failure=continue").drained();
    let ended = [
        "panic trapped",
        "ok succeeded",
        "spin timed-out",
        "sync succeeded",
        "fail failed",
        // It was in the memory of the first instance.
        "closure abandoned",
    ];
    assert_eq!(ends(&record), ended);
}

#[test]
fn s14_a_task_that_trapped_is_tried_again_in_a_fresh_instance() {
    let host = TestHost::start(guests::TASKS);
    let record = host.get("/?run=shaky,ok").drained();

    assert_eq!(ends(&record), ["shaky succeeded", "ok succeeded"]);
    assert_eq!(record.tasks[0].attempt, 2);
}

#[test]
fn s14_a_trap_leaves_other_requests_and_the_next_alone() {
    // On one thread, where they share all that requests ever share.
    let host = TestHost::component(guests::TASKS).threads(1).start();
    let mut other = Socket::post(&host, "/?run=ok", 5);
    assert!(other.head().starts_with("HTTP/1.1 200"));

    let record = host.get("/?run=panic").drained();
    assert_eq!(ends(&record), ["panic trapped"]);
    assert_eq!(ends(&host.get("/?run=sync").drained()), ["sync succeeded"]);

    other.write("hello");
    assert!(other.rest().contains("hello"));
    assert_eq!(ends(&host.next_record()), ["ok succeeded"]);
}

#[test]
fn s6_a_response_of_any_status_runs_tasks() {
    let host = TestHost::start(guests::ENDS);
    for status in ["200", "404", "500"] {
        let exchange = host.get(&format!("/{status}"));
        assert_eq!(exchange.response().status().as_str(), status);

        let record = exchange.drained();
        assert!(matches!(record.outcome, ResponseOutcome::Delivered), "{:?}", record.outcome);
        let ended = ["on-success succeeded", "on-failure discarded", "always succeeded", "always-closure succeeded"];
        assert_eq!(ends(&record), ended);
    }
}

/// The guest's SDK does not check whether the host accepted the status. Without the host's correction, the client would
/// get 200.
#[test]
fn s6_a_status_that_http_does_not_have_is_500_and_told() {
    let host = TestHost::start(guests::ENDS);
    for (status, sent) in [("600", 500), ("999", 500), ("599", 599), ("200", 200)] {
        let exchange = host.get(&format!("/{status}"));
        assert_eq!(exchange.response().status(), sent, "{status}");
        let record = exchange.drained();
        let errors: Vec<_> = (status.parse() != Ok(sent))
            .then(|| {
                format!(
                    "the response was sent with 500: the handler set the status {status}, but HTTP has 100 to 599 only"
                )
            })
            .into_iter()
            .collect();
        assert_eq!(record.errors, errors);
        assert_eq!(ends(&record)[0], "on-success succeeded", "a response of any status runs tasks");
    }
}

#[test]
fn s6_after_a_handler_s_error_only_those_run_that_asked_to() {
    only_in_process!(OwnScope);
    let host = TestHost::start(guests::ENDS);
    let exchange = host.get("/error");
    assert_eq!(exchange.response().status(), 500);
    assert_eq!(exchange.text(), "Internal Server Error", "what went wrong is not for the client");

    let record = exchange.drained();
    assert!(handler_failed(&record.outcome).contains("no database"), "{:?}", record.outcome);
    let ended = ["on-success discarded", "on-failure succeeded", "always succeeded", "always-closure succeeded"];
    assert_eq!(ends(&record), ended);
    // They know, and so does the teardown, which the instance lived to see.
    let stdout = host.stdout();
    let (who, known) = said(&stdout);
    assert_eq!(who, ["failure", "always", "always", "teardown"]);
    assert!(
        known.iter().all(|outcome| outcome.contains("HandlerFailed") && outcome.contains("no database")),
        "{stdout}"
    );
}

#[test]
fn s6_after_a_handler_s_panic_they_run_in_a_fresh_instance() {
    let host = TestHost::start(guests::ENDS);
    let exchange = host.get("/panic");
    assert_eq!(exchange.response().status(), 500);

    let record = exchange.drained();
    let reason = handler_failed(&record.outcome);
    assert!(reason.starts_with("the handler was cut short: panicked at "), "{reason}");
    let ended = ["on-success discarded", "on-failure succeeded", "always succeeded", "always-closure abandoned"];
    assert_eq!(ends(&record), ended);
    let stdout = host.stdout();
    let (who, known) = said(&stdout);
    assert_eq!(who, ["failure", "always"], "the teardown was in the memory of the instance that died");
    assert_eq!(record.teardowns, 0);
    assert!(known.iter().all(|outcome| outcome.contains("HandlerFailed")), "{stdout}");
    assert_eq!(host.get("/200").response().status(), 200);
}

#[test]
fn s6_a_handler_that_takes_too_long_has_failed() {
    let host = TestHost::component(guests::ENDS).setting("request-timeout", "200ms").start();
    let exchange = host.get("/hang");
    assert_eq!(exchange.response().status(), 504);

    let record = exchange.drained();
    assert_eq!(handler_failed(&record.outcome), "the handler was cut short: still running after 200ms");
    let ended = ["on-success discarded", "on-failure succeeded", "always succeeded", "always-closure abandoned"];
    assert_eq!(ends(&record), ended);
}

/// The parts of the guest that printed something, and the outcome that each of them saw.
fn said(stdout: &str) -> (Vec<&str>, Vec<&str>) {
    stdout.lines().filter_map(|line| line.split_once(": ")).unzip()
}

/// The reason why the handler returned no response.
fn handler_failed(outcome: &ResponseOutcome) -> &str {
    match outcome {
        ResponseOutcome::HandlerFailed(reason) => reason,
        other => panic!("the handler should have failed: {other:?}"),
    }
}
