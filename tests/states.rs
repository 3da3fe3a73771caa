//! States: every accepted task ends in exactly one state, with exactly one record, one event and one count (S3).

use std::collections::BTreeMap;
use std::time::Duration;

use epilogue::testing::{RequestRecord, TestHost};

use crate::durable::only_in_process;
use crate::guests;
use crate::support::ends;
use crate::telling::{self, Fields};

#[test]
fn s3_succeeded() {
    let record = told("succeeded", guests::TASKS, &[], "/?run=ok,sync,closure");
    assert_eq!(ends(&record), ["ok succeeded", "sync succeeded", "closure succeeded"]);
    assert!(record.tasks.iter().all(|task| task.attempt == 1 && task.error.is_none()));
}

#[test]
fn s3_failed_with_all_causes() {
    let record = told("failed", guests::TASKS, &[], "/?run=fail");
    assert_eq!(ends(&record), ["fail failed"]);
    assert_eq!(error(&record), "cannot print: no paper");
}

#[test]
fn s3_failed_because_the_guest_has_no_such_task() {
    let record = told("failed-unknown", guests::STRANGERS, &[], "/?run=gone");
    assert_eq!(ends(&record), ["gone failed"]);
    assert_eq!(error(&record), "the guest has no task named \"gone\"");
}

#[test]
fn s3_failed_because_the_arguments_do_not_fit() {
    let record = told("failed-arguments", guests::STRANGERS, &[], "/?run=changed");
    assert_eq!(ends(&record), ["greet failed"]);
    assert_eq!(
        error(&record),
        "bad arguments: `greet(name: String)` cannot take these arguments: \
         invalid type: integer `7`, expected a string at line 1 column 2"
    );
}

#[test]
fn s3_trapped() {
    let record = told("trapped", guests::TASKS, &[], "/?run=panic");
    assert_eq!(ends(&record), ["panic trapped"]);
    let error = error(&record);
    assert!(error.starts_with("panicked at ") && error.ends_with(": on purpose"), "{error}");
}

#[test]
fn s3_timed_out_while_waiting_blocking_or_computing() {
    for task in ["sleep", "block", "spin"] {
        let component = format!("timed-out-{task}");
        let record = told(&component, guests::TASKS, &[], &format!("/?run={task}&within=50"));
        assert_eq!(ends(&record), [format!("{task} timed-out")]);
        assert_eq!(error(&record), "still running after 50ms");
    }
}

#[test]
fn s3_skipped() {
    only_in_process!(ClosuresApart);
    let record = told("skipped", guests::TASKS, &[], "/?run=fail,ok,closure");
    assert_eq!(ends(&record), ["fail failed", "ok skipped", "closure skipped"]);
    assert_eq!(record.tasks[1].error.as_deref(), Some("a task before it did not succeed"));
    assert_eq!(record.tasks[1].attempt, 0, "it never started");
}

#[test]
fn s3_discarded() {
    let record = told("discarded", guests::TASKS, &[], "/?run=ok,closure&when=failure");
    assert_eq!(ends(&record), ["ok discarded", "closure discarded"]);
    assert_eq!(error(&record), "the handler did not fail");
}

#[test]
fn s3_cancelled() {
    let record = told("cancelled", guests::CANCEL, &[], "/");
    assert_eq!(record.tasks[1].state.as_str(), "cancelled");
    assert_eq!(record.tasks[1].error.as_deref(), Some("cancelled by the guest"));
}

#[test]
fn s3_abandoned_with_the_instance_that_held_its_closure() {
    only_in_process!(ClosuresApart);
    let record = told("abandoned", guests::TASKS, &[], "/?run=panic,closure&on_failure=continue");
    assert_eq!(ends(&record), ["panic trapped", "closure abandoned"]);
    assert_eq!(record.tasks[1].error.as_deref(), Some("the instance that held it had died"));
}

#[test]
fn s3_abandoned_when_the_time_for_all_tasks_is_used_up() {
    only_in_process!(RunsElsewhere);
    let record =
        told("abandoned-late", guests::TASKS, &[("drain-timeout", "50ms")], "/?run=sleep,ok&on_failure=continue");
    assert_eq!(ends(&record), ["sleep timed-out", "ok abandoned"]);
    assert_eq!(record.tasks[1].error.as_deref(), Some("the time for all tasks of the request was used up"));
}

#[test]
fn s10_limits_beyond_the_clock_are_none() {
    let most = "1000days";
    let host = TestHost::component(guests::TASKS)
        .setting("drain-timeout", most)
        .setting("request-timeout", most)
        .setting("task-timeout", most)
        .setting("teardown-timeout", most)
        .start();
    assert_eq!(ends(&host.get("/?run=ok,flaky").drained()), ["ok succeeded", "flaky succeeded"]);
}

#[test]
fn s3_a_task_that_is_tried_again_ends_once() {
    let record = told("tried-again", guests::TASKS, &[], "/?run=flaky&backoff=300");
    assert_eq!(ends(&record), ["flaky succeeded"]);
    assert_eq!(record.tasks[0].attempt, 3);
    if record.stored.is_empty() {
        // Half of it at the least, twice. A durable task's time is that of its last attempt.
        assert!(record.tasks[0].elapsed >= Duration::from_millis(300), "{:?}", record.tasks[0].elapsed);
    }
    let events = telling::events(&record.id);
    let retries: Vec<_> = events.iter().filter(|event| event.contains_key("retry_in")).collect();
    assert_eq!(retries.len(), 2, "{events:?}");
    for (event, attempt) in retries.into_iter().zip(["1", "2"]) {
        let field = |name| event.get(name).map(String::as_str);
        assert_eq!((field("name"), field("attempt"), field("error")), (Some("flaky"), Some(attempt), Some("not yet")));
        assert_eq!(field("message"), Some("will be retried"));
    }
}

#[test]
fn s3_a_request_without_tasks_tells_of_none() {
    let record = told("silent", guests::TASKS, &[], "/?run=");
    assert!(record.tasks.is_empty());
}

/// Has a host of one component serve one request. Compares the events and counts of its tasks with their records.
fn told(component: &str, guest: &str, settings: &[(&str, &str)], path: &str) -> RequestRecord {
    telling::listen();
    // Of its own name, so that its counts are not mixed with those of other tests.
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("spin.toml");
    std::fs::write(&manifest, describe(component, guest)).unwrap();
    let mut host = TestHost::manifest(manifest);
    for (name, value) in settings {
        host = host.setting(name, value);
    }
    let host = host.start();
    let exchange = host.get(path);
    assert_eq!(exchange.response().status(), 200);
    let record = exchange.drained();

    let expected: Vec<_> = (0..record.tasks.len()).map(|task| event(&record, task)).collect();
    let mut events = telling::events(&record.id);
    // That a task will be retried is told too, and is no end.
    events.retain(|event| event.get("message").is_none_or(|message| message != "will be retried"));
    if !record.stored.is_empty() {
        // With an engine (`durable/core.rs`): the record has them by number, and that a task was stored is told too.
        events.retain(|event| event.contains_key("state"));
        events.sort_by_key(|event| event["task"].parse::<u64>().unwrap());
    }
    for (event, task) in events.iter_mut().zip(&record.tasks) {
        let elapsed = event.remove("elapsed_us").expect("it should say how long it took");
        assert_eq!(elapsed, task.elapsed.as_micros().to_string());
        assert!(task.attempt == 0 || !task.elapsed.is_zero(), "{task:?} took some time");
    }
    assert_eq!(events, expected);

    let mut expected = BTreeMap::new();
    for task in record.tasks.iter().filter(|task| !task.dead) {
        *expected.entry(task.state.to_string()).or_default() += 1;
    }
    assert_eq!(telling::counts(component), expected);
    record
}

/// The expected event of a task's end, without the elapsed time.
fn event(record: &RequestRecord, task: usize) -> Fields {
    let task = &record.tasks[task];
    let mut fields = Fields::from([
        ("request", record.id.clone()),
        ("component", record.component.clone()),
        ("task", task.id.to_string()),
        ("name", task.name.clone()),
        ("state", if task.dead { "dead".to_owned() } else { task.state.to_string() }),
        ("attempt", task.attempt.to_string()),
        ("trace_id", record.trace_id.clone()),
    ]);
    fields.extend(task.dead.then(|| ("cause", task.state.to_string())));
    fields.extend(task.error.clone().map(|error| ("error", error)));
    fields
}

/// The manifest of an application with one component.
fn describe(component: &str, guest: &str) -> String {
    format!(
        "spin_manifest_version = 2\n[application]\nname = \"states\"\n\
         [[trigger.http]]\nroute = \"/...\"\ncomponent = {component:?}\n[component.{component}]\nsource = {guest:?}\n"
    )
}

/// The reason why the first task did not succeed.
fn error(record: &RequestRecord) -> &str {
    record.tasks[0].error.as_deref().unwrap_or_default()
}
