//! Workers: what is run again and how often, what becomes of what cannot be run, and how a worker ends.

use std::time::{Duration, Instant};

use http::StatusCode;

use super::fixture::{Fixture, Kind, ask, words};
use crate::upstream::Upstream;

super::on_each_engine! {
    a_worker_that_is_killed_amid_a_task_leaves_it_to_another,
    s3_a_task_whose_workers_are_killed_has_an_end_too,
    a_poison_task_ends_dead_and_an_operator_can_retry_it,
    s4_a_failure_stops_those_behind_it_or_not,
    s1_two_workers_never_run_a_task_twice,
    s13_a_signal_lets_the_running_task_end_and_leaves_the_rest,
    a_worker_that_loses_its_lease_stops_the_guest,
    a_long_task_keeps_its_lease_and_a_silent_worker_does_not,
}

fn a_worker_that_is_killed_amid_a_task_leaves_it_to_another(fixture: &mut Fixture) {
    let gate = Upstream::start();
    let host = fixture.host([]);
    ask(host.address(), &format!("run=ok,knock,bill&gate={}", gate.url()));
    let first = fixture.worker([]);
    let held = gate.call();
    first.signal("KILL");
    let first = first.ended().stdout;
    let second = fixture.worker([]);
    gate.call().answer("go on");
    drop(held);
    second.printed("bill 1 ");
    fixture.wait_until_done();
    second.signal("TERM");
    let second = second.ended().stdout;
    let names = |lines: &[String]| lines.iter().map(|line| words(line)[..2].join(" ")).collect::<Vec<_>>();
    assert_eq!(names(&first), ["ok 1", "knock 1"]);
    assert_eq!(names(&second), ["knock 2", "opened 2", "bill 1"]);
    assert_eq!(words(&first[1])[2..], words(&second[0])[2..], "the request and the idempotency key are the same");
}

fn s3_a_task_whose_workers_are_killed_has_an_end_too(fixture: &mut Fixture) {
    let gate = Upstream::start();
    let host = fixture.host([]);
    ask(host.address(), &format!("run=knock,bill&attempts=1&gate={}", gate.url()));
    let first = fixture.worker([]);
    let _held = gate.call();
    first.signal("KILL");
    first.ended();
    let second = fixture.worker([]);
    let end = second.logged("state=\"abandoned\"");
    assert!(end.contains("its worker ended amid the last of 1 attempts"), "{end}");
    second.logged("state=\"skipped\"");
    let id = fixture.stored("dead").remove(0);
    assert_eq!(fixture.tasks(["retry", &id]).stderr, [format!("{id} made ready")]);
    gate.call().answer("go on");
    second.printed("bill 1 ");
    fixture.wait_until_done();
}

fn a_poison_task_ends_dead_and_an_operator_can_retry_it(fixture: &mut Fixture) {
    let host = fixture.host([]);
    ask(host.address(), "run=panic,bill&attempts=2");
    let worker = fixture.worker([]);
    worker.logged("state=\"trapped\"");
    worker.logged("state=\"skipped\"");
    let dead = fixture.tasks(["dead", "--json"]);
    let row: serde_json::Value = serde_json::from_str(&dead.stdout[0]).unwrap();
    assert_eq!((dead.stdout.len(), row["attempt"].as_u64(), row["ended"].as_u64()), (1, Some(2), Some(0)), "{row}");
    assert!(row["why"].as_str().unwrap().contains("unreachable"), "{row}");
    let id = row["id"].as_str().unwrap();
    let table = fixture.tasks(["dead"]);
    assert!(table.stdout[1].starts_with(id) && table.stdout[1].contains(" panic: "), "{:?}", table.stdout);

    let retried = fixture.tasks(["retry", "--all"]);
    assert_eq!(retried.stderr, ["1 of 1 made ready"]);
    let attempts = |count: usize| {
        let end = Instant::now() + Duration::from_secs(60);
        while worker.printed_so_far("panic ") < count {
            assert!(Instant::now() < end, "it should be tried {count} times");
        }
    };
    attempts(4);
    worker.signal("TERM");
    worker.ended();
    fixture.wait_until_done();
    assert_eq!(fixture.tasks(["drop", id]).code, Some(0));
    assert!(fixture.stored("dead").is_empty());
    assert_eq!(fixture.tasks(["drop", id]).code, Some(1));
}

fn s4_a_failure_stops_those_behind_it_or_not(fixture: &mut Fixture) {
    let host = fixture.host([]);
    ask(host.address(), "run=fail,ok&tag=-stop&attempts=1");
    ask(host.address(), "run=fail,ok&tag=-continue&attempts=1&on_failure=continue");
    let worker = fixture.worker([]);
    worker.printed("ok-continue 1 ");
    fixture.wait_until_done();
    worker.signal("TERM");
    let lines = worker.ended().stdout;
    assert!(lines.iter().all(|line| !line.starts_with("ok-stop")), "{lines:?}");
    assert_eq!(fixture.stored("dead").len(), 2);
}

fn s1_two_workers_never_run_a_task_twice(fixture: &mut Fixture) {
    let host = fixture.host([]);
    let workers = [fixture.worker([]), fixture.worker([])];
    for number in 0..40 {
        assert_eq!(ask(host.address(), &format!("run=ok,ok,ok&tag=-{number}")).0, StatusCode::OK);
    }
    fixture.wait_until_done();
    let lines = workers.map(|worker| {
        worker.signal("TERM");
        worker.ended().stdout
    });
    let all: Vec<_> = lines.iter().flatten().map(|line| words(line)).collect();
    let mut keys: Vec<_> = all.iter().map(|words| words[3]).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!((all.len(), keys.len()), (120, 120));
    // Of each request one worker has run all, in order.
    for lines in &lines {
        let mut last = std::collections::BTreeMap::<&str, u64>::new();
        for [_, attempt, request, key] in lines.iter().map(|line| words(line)) {
            let id: u64 = key.rsplit(':').next().unwrap().parse().unwrap();
            assert_eq!((attempt, last.insert(request, id).unwrap_or_default() + 1), ("1", id));
        }
        assert!(last.values().all(|id| *id == 3));
    }
}

fn s13_a_signal_lets_the_running_task_end_and_leaves_the_rest(fixture: &mut Fixture) {
    let gate = Upstream::start();
    let host = fixture.host([]);
    ask(host.address(), &format!("run=knock,bill&gate={}", gate.url()));
    let first = fixture.worker([]);
    let held = gate.call();
    first.signal("TERM");
    first.logged("stopping: ");
    held.answer("go on");
    let first = first.ended();
    assert_eq!(first.code, Some(0), "{:?}", first.stderr);
    assert!(first.stdout.iter().all(|line| !line.starts_with("bill")), "{:?}", first.stdout);
    let second = fixture.worker([]);
    second.printed("bill 1 ");
    fixture.wait_until_done();
}

fn a_worker_that_loses_its_lease_stops_the_guest(fixture: &mut Fixture) {
    let gate = Upstream::start();
    let host = fixture.host([]);
    ask(host.address(), &format!("run=knock,bill&gate={}", gate.url()));
    let worker = fixture.worker(["--task-timeout", "10m"]);
    let held = gate.call();
    let id = fixture.stored("leased").remove(0);
    assert_eq!(fixture.tasks(["drop", &id]).code, Some(0));
    worker.logged("left to another worker: the lease has ended");
    // The guest is gone: nobody waits for the answer, and nothing runs.
    drop(held);
    worker.signal("TERM");
    let ended = worker.ended();
    assert!(ended.stdout.iter().all(|line| line.starts_with("knock 1 ")), "{:?}", ended.stdout);
}

fn a_long_task_keeps_its_lease_and_a_silent_worker_does_not(fixture: &mut Fixture) {
    let (long, silent) = (Upstream::start(), Upstream::start());
    let host = fixture.host([]);
    let busy = fixture.worker(["--concurrency", "1"]);
    ask(host.address(), &format!("run=knock&gate={}", long.url()));
    let long_held = long.call();
    let frozen = fixture.worker(["--concurrency", "1"]);
    ask(host.address(), &format!("run=knock&gate={}", silent.url()));
    let _silent_held = silent.call();
    frozen.signal("STOP");
    // The younger lease has ended, and the older would have before it.
    let other = fixture.worker(["--concurrency", "1"]);
    silent.call().answer("go on");
    other.printed("opened 2 ");
    frozen.signal("CONT");
    frozen.logged("left to another worker: the lease has ended");
    long_held.answer("go on");
    busy.printed("opened 1 ");
    fixture.wait_until_done();
    let lines = [busy, frozen, other].map(|worker| {
        worker.signal("TERM");
        worker.ended().stdout.iter().map(|line| words(line)[..2].join(" ")).collect::<Vec<_>>()
    });
    assert_eq!(lines, [vec!["knock 1", "opened 1"], vec!["knock 1"], vec!["knock 2", "opened 2"]]);
}

#[test]
fn sighup_loads_a_worker_s_application_anew_and_what_runs_ends_on_the_old_one() {
    let gate = Upstream::start();
    let fixture = Fixture::new(Kind::Sqlite);
    let host = fixture.host([]);
    let worker = fixture.worker([]);
    ask(host.address(), &format!("run=knock&gate={}", gate.url()));
    let held = gate.call();
    fixture.change_to("-new");
    worker.signal("HUP");
    worker.logged("reloaded test (1 component)");
    ask(host.address(), "run=ok");
    worker.printed("ok-new 1 ");
    held.answer("go on");
    worker.printed("opened 1 ");
    std::fs::write(fixture.app.path().join("spin.toml"), "mistaken").unwrap();
    worker.signal("HUP");
    worker.logged("the application goes on as it was");
    ask(host.address(), "run=ok&tag=-last");
    worker.printed("ok-last-new 1 ");
    fixture.wait_until_done();
    worker.signal("TERM");
    assert_eq!(worker.ended().code, Some(0));
}
