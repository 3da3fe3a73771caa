//! The pages for people who know another system.

use epilogue::testing::TestHost;

use crate::guests;
use crate::support::ends;
use crate::upstream::Upstream;

#[test]
fn a_closure_is_what_wait_until_is() {
    let counter = Upstream::start();
    let host = TestHost::component(guests::GUIDE_DEFER)
        .allow(&counter.url())
        .env("COUNTER", &format!("{}/visits", counter.url()))
        .start();
    let exchange = host.get("/shop");
    // The counter answers only when the client has the whole response.
    assert_eq!(exchange.text(), "Hello\n");
    let call = counter.call();
    assert_eq!(call.line, "POST /visits HTTP/1.1");
    call.answer("");
    assert_eq!(ends(&exchange.drained()), ["defer succeeded"]);
}

#[test]
fn a_tasks_failure_is_recorded_and_that_of_spawned_work_is_not() {
    let host = TestHost::start(guests::GUIDE_SPAWN);
    let spawned = host.get("/spawned");
    assert_eq!(spawned.text(), "Hello\n");
    let record = spawned.drained();
    assert!(record.tasks.is_empty() && record.errors.is_empty(), "{record:?}");
    assert!(host.stderr().starts_with("not counted: "), "{}", host.stderr());

    let task = host.get("/task");
    assert_eq!(task.text(), "Hello\n");
    let record = task.drained();
    assert_eq!(ends(&record), ["count failed"]);
    assert!(record.tasks[0].error.is_some(), "{record:?}");
}
