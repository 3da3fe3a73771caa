//! Order: the tasks of one request run in the order of registration, whichever code registered them (S1, S5). Their
//! number is limited (S11).

use epilogue::testing::{TaskState, TestHost};

use crate::durable::only_in_process;
use crate::guests;
use crate::support::ends;

#[test]
fn s1_tasks_run_in_registration_order() {
    only_in_process!(ClosuresApart);
    let host = TestHost::start(guests::TASKS);
    let exchange = host.get("/?run=ok,sync,ok,closure,sync");

    assert_eq!(exchange.text(), "1,2,3,4,5");
    let record = exchange.drained();
    let ids: Vec<_> = record.tasks.iter().map(|task| task.id).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5]);
    assert_eq!(host.stdout(), "ok\nsync\nok\nclosure\nsync\n");
}

#[test]
fn s1_a_task_begins_after_the_one_before_has_ended() {
    let host = TestHost::start(guests::TASKS);
    host.get("/?run=slow,slow,sync").drained();

    assert_eq!(host.stdout(), "slow begins\nslow ends\nslow begins\nslow ends\nsync\n");
}

#[test]
fn s5_there_is_one_queue_whoever_adds() {
    only_in_process!(ClosuresApart);
    let host = TestHost::start(guests::SOURCES);
    let exchange = host.get("/");

    assert_eq!(exchange.text(), "done");
    let record = exchange.drained();
    assert!(record.tasks.iter().all(|task| task.state == TaskState::Succeeded), "{record:?}");
    let said = [
        "sub-dependency",
        "dependency",
        "handler",
        "task",
        "library",
        // Attached to the response, and behind all others: FastAPI loses those here (fastapi#11215).
        "response",
        "from the task",
        "teardown",
        "from the teardown",
        "second teardown",
    ];
    assert_eq!(host.stdout().lines().collect::<Vec<_>>(), said);
}

#[test]
fn s5_what_running_tasks_add_comes_last() {
    only_in_process!(OwnBatch);
    let host = TestHost::start(guests::TASKS);
    let record = host.get("/?run=nested,nested,sync").drained();

    let order: Vec<_> = record.tasks.iter().map(|task| (task.id, task.name.as_str())).collect();
    assert_eq!(order, [(1, "nested"), (2, "nested"), (3, "sync"), (4, "ok"), (5, "ok")]);
    assert_eq!(host.stdout(), "nested\nnested\nsync\nok\nok\n");
}

#[test]
fn s11_a_thousand_tasks_are_accepted_and_the_handler_answers_for_the_next() {
    let host = TestHost::start(guests::LIMITS);
    let most = host.get("/?sizes=1000x5");
    assert_eq!(most.text(), "all accepted");
    assert_eq!(most.drained().tasks.len(), 1_000);

    let one_more = host.get("/?sizes=1001x5");
    assert_eq!(one_more.response().status(), 503);
    assert_eq!(one_more.text(), "come back: the request already has 1000 background tasks, which is the limit");
    // Those that were accepted before it run all the same: nothing that was accepted is lost.
    let record = one_more.drained();
    assert_eq!(record.tasks.len(), 1_000);
    assert!(record.tasks.iter().all(|task| task.state == TaskState::Succeeded));
}

#[test]
fn s11_a_task_that_adds_itself_for_ever_meets_the_limit() {
    only_in_process!(OwnBatch);
    let host = TestHost::component(guests::TASKS).setting("max-tasks", "10").start();
    let record = host.get("/?run=endless").drained();

    assert_eq!(record.tasks.len(), 10);
    let (last, others) = record.tasks.split_last().unwrap();
    assert!(others.iter().all(|task| task.state == TaskState::Succeeded));
    assert_eq!(last.state, TaskState::Failed);
    assert_eq!(last.error.as_deref(), Some("the request already has 10 background tasks, which is the limit"));
}

#[test]
fn s11_the_arguments_of_one_task_are_limited() {
    only_in_process!(SmallerOnNats);
    let host = TestHost::start(guests::LIMITS);
    let exchange = host.get(&format!("/?sizes={},{}", 1 << 20, (1 << 20) + 1));

    assert_eq!(exchange.response().status(), 413);
    let limit = "send less: the arguments are larger than 1048576 bytes, the limit for one background task";
    assert_eq!(exchange.text(), limit);
    assert_eq!(ends(&exchange.drained()), ["receive succeeded"]);
}

#[test]
fn s11_arguments_that_are_far_too_large_are_refused_up_to_what_one_call_may_pass() {
    let host = TestHost::start(guests::LIMITS);
    // A call may pass 512 KiB more than the arguments of one task.
    let refused = host.get(&format!("/?sizes={}", (3 << 19) - 1024));
    assert_eq!(refused.response().status(), 413);
    assert!(refused.text().contains("1048576 bytes, the limit for one background task"), "{}", refused.text());
    let trapped = host.get(&format!("/?sizes={}", 3 << 19));
    assert_eq!(trapped.response().status(), 500);
    let outcome = format!("{:?}", trapped.drained().outcome);
    assert!(outcome.contains("too much data is being copied between the host and the guest"), "{outcome}");
    assert_eq!(host.get("/?sizes=5").text(), "all accepted");
}

#[test]
fn s11_the_arguments_of_all_tasks_together_are_limited() {
    let host = TestHost::component(guests::LIMITS).setting("max-request-args", "100").start();
    let exchange = host.get("/?sizes=40,60,4");

    assert_eq!(exchange.response().status(), 413);
    assert!(exchange.text().ends_with("would be larger than 100 bytes, the limit for all together"));
    assert_eq!(ends(&exchange.drained()), ["receive succeeded", "receive succeeded"]);
}

#[test]
fn s11_a_host_without_a_store_refuses_durable_tasks() {
    only_in_process!(HasEngine);
    let host = TestHost::start(guests::DURABLE);
    let exchange = host.get("/?run=bill,plain");

    assert_eq!(exchange.text(), "durable tasks need a store, and this host has none,1");
    assert_eq!(ends(&exchange.drained()), ["plain succeeded"]);
}

#[test]
fn a_task_is_taken_back_only_before_it_starts() {
    only_in_process!(OwnBatch);
    let host = TestHost::start(guests::CANCEL);
    let exchange = host.get("/");

    assert_eq!(exchange.text(), "true false false", "waiting, taken back already, unknown");
    let record = exchange.drained();
    let ended = ["say succeeded", "say cancelled", "cancel-around succeeded", "say cancelled", "say succeeded"];
    assert_eq!(ends(&record), ended);
    // The running task: the next, itself, and one that has ended.
    assert_eq!(host.stdout(), "first\ntrue false false\nfifth\n");
}
