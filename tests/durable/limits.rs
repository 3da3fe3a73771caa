//! The limits that keep durable tasks from multiplying: generations, and the backlog.

use http::StatusCode;

use super::fixture::{Fixture, ask};
use crate::client::get;
use crate::monitor::address;
use crate::process::retry;

super::on_each_engine! {
    s11_tasks_that_add_themselves_end_at_the_limit_of_generations,
    s11_a_full_backlog_refuses_requests_and_tasks_until_there_is_room,
}

fn s11_tasks_that_add_themselves_end_at_the_limit_of_generations(fixture: &mut Fixture) {
    let host = fixture.host(["--work", "--max-generations", "3", "--durable-attempts", "1"]);
    assert_eq!(ask(host.address(), "run=again").0, StatusCode::OK);
    retry(|| (fixture.stored("dead").len() == 8).then_some(()));
    fixture.wait_until_done();
    host.signal("TERM");
    let ended = host.ended();
    let count = |start: &str| ended.stdout.iter().filter(|line| line.starts_with(start)).count();
    assert_eq!((count("again 1 "), count("TooManyGenerations { limit: 3 }")), (1 + 2 + 4 + 8, 8), "{:?}", ended.stdout);
    let why = "durable tasks have added durable tasks for 3 generations, which is the limit";
    assert_eq!(ended.stderr.iter().filter(|line| line.contains("state=\"dead\"") && line.contains(why)).count(), 8);
}

fn s11_a_full_backlog_refuses_requests_and_tasks_until_there_is_room(fixture: &mut Fixture) {
    let host = fixture.host(["--max-backlog", "2", "--metrics-listen", "127.0.0.1:0"]);
    for _ in 0..2 {
        assert_eq!(ask(host.address(), "run=ok").0, StatusCode::OK);
    }
    let (status, body) = ask(host.address(), "run=ok,plain");
    assert_eq!((status, body.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"));
    let limit = "the durable tasks of 2 requests wait already, which is the limit";
    host.logged(&format!("{limit} (max-backlog)"));
    let metrics = get(address(&host), "/metrics");
    assert!(metrics.contains("epilogue_requests_refused_total{limit=\"max-backlog\"} 1\n"), "{metrics}");
    assert_eq!(ask(host.address(), "run=plain").0, StatusCode::OK, "what needs no engine is served");
    // From a task, which is told so.
    assert_eq!(ask(host.address(), "run=late").0, StatusCode::OK);
    let failed = host.logged("name=\"nested\"");
    assert!(failed.contains("state=\"failed\"") && failed.contains(limit), "{failed}");
    assert_eq!(fixture.stored("ready").len(), 2);

    // The dead are no backlog.
    let worker = fixture.worker([]);
    fixture.wait_until_done();
    worker.signal("TERM");
    worker.ended();
    retry(|| (ask(host.address(), "run=fail&attempts=1").0 == StatusCode::OK).then_some(()));
}
