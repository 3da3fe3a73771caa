//! Workers: how often they run a task again, what they do with a task that cannot run, and how they end.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use http::StatusCode;

use super::fixture::{Fixture, Kind, ask, words};
use crate::process::{Process, folder, retry};
use crate::upstream::Upstream;

super::on_each_engine! {
    a_worker_that_is_killed_amid_a_task_leaves_it_to_another,
    s3_a_task_whose_workers_are_killed_has_an_end_too,
    a_poison_task_ends_dead_and_an_operator_can_retry_it,
    s4_a_failure_stops_those_behind_it_or_not,
    s1_two_workers_never_run_a_task_twice,
    s9_what_a_worker_s_task_registers_is_torn_down_after_the_last,
    s13_a_signal_lets_the_running_task_end_and_leaves_the_rest,
    s13_what_does_not_end_within_the_grace_is_another_s_at_once,
    a_task_that_fails_is_tried_again_later_each_time,
    a_worker_without_the_component_leaves_the_tasks_to_others_and_then_to_the_operator,
    a_worker_that_loses_its_lease_stops_the_guest,
    s3_a_worker_that_has_lost_its_lease_tells_no_end,
    a_long_task_keeps_its_lease_and_a_silent_worker_does_not,
}

fn a_worker_that_is_killed_amid_a_task_leaves_it_to_another(fixture: &mut Fixture) {
    fixture.visibility = "2s";
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

mod killed {
    use super::*;

    // Who opens SQLite's file frees what a process held that has died.
    crate::durable::on_each_server! { a_killed_worker_is_shown_with_the_time_that_its_lease_has_left, }

    fn a_killed_worker_is_shown_with_the_time_that_its_lease_has_left(fixture: &mut Fixture) {
        let gate = Upstream::start();
        let host = fixture.host([]);
        assert!(host.logged("durable tasks: ").ends_with("0 ready, 0 delayed, 0 leased, 0 dead"));
        ask(host.address(), &format!("run=knock&gate={}", gate.url()));
        let worker = fixture.worker([]);
        let held = gate.call();
        worker.signal("KILL");
        let line =
            worker.ended().stderr.into_iter().find(|line| line.contains("durable tasks are run here, by ")).unwrap();
        let name = line.rsplit(' ').next().unwrap().to_owned();
        let id = fixture.stored("leased").remove(0);
        let table = fixture.tasks(["list", "--visibility-timeout", fixture.visibility]).stdout;
        let shown = fixture.tasks(["show", &id, "--visibility-timeout", fixture.visibility]).stdout;
        assert!(table[1].contains(&format!(" knock (leased by {name}")), "{table:?}");
        assert!(shown.contains(&format!("worker     {name}")), "{shown:?}");
        // NATS does not know how long it has been extended for.
        let knows = fixture.url.starts_with("redis");
        assert!(!knows || table[1].ends_with("m more)"), "{table:?}");
        assert!(!knows || shown.iter().any(|line| line.starts_with("lease ends in ")), "{shown:?}");
        let next = fixture.host([]);
        next.logged("durable tasks: 0 ready, 0 delayed, 1 leased (by workers that may have died), 0 dead");
        drop(held);
    }
}

fn s3_a_task_whose_workers_are_killed_has_an_end_too(fixture: &mut Fixture) {
    fixture.visibility = "2s";
    let gate = Upstream::start();
    let host = fixture.host([]);
    ask(host.address(), &format!("run=knock,bill&attempts=1&gate={}", gate.url()));
    let first = fixture.worker([]);
    let _held = gate.call();
    first.signal("KILL");
    first.ended();
    let second = fixture.worker([]);
    let end = second.logged("state=\"dead\"");
    assert!(end.contains("cause=\"abandoned\""), "{end}");
    assert!(end.contains("its worker ended during the last of 1 attempts"), "{end}");
    let id = fixture.stored("dead").remove(0);
    assert_eq!(fixture.tasks(["retry", &id]).stderr.last(), Some(&format!("{id} made ready")));
    gate.call().answer("go on");
    second.printed("bill 1 ");
    fixture.wait_until_done();
}

fn a_poison_task_ends_dead_and_an_operator_can_retry_it(fixture: &mut Fixture) {
    let host = fixture.host([]);
    ask(host.address(), "run=panic,bill&attempts=2");
    let worker = fixture.worker([]);
    assert!(worker.logged("state=\"dead\"").contains("cause=\"trapped\""));
    let dead = fixture.tasks(["dead", "--json"]);
    let row: serde_json::Value = serde_json::from_str(&dead.stdout[0]).unwrap();
    assert_eq!((dead.stdout.len(), row["attempt"].as_u64(), row["ended"].as_u64()), (1, Some(2), Some(0)), "{row}");
    assert!(row["why"].as_str().unwrap().starts_with("panicked at "), "{row}");
    let id = row["id"].as_str().unwrap();
    let table = fixture.tasks(["dead"]);
    assert!(table.stdout[1].starts_with(id) && table.stdout[1].contains(" panic: "), "{:?}", table.stdout);

    let retried = fixture.tasks(["retry", "--all"]);
    assert_eq!(retried.stderr.last().unwrap(), "1 of 1 made ready");
    retry(|| (worker.printed_so_far("panic ") >= 4).then_some(()));
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

fn s9_what_a_worker_s_task_registers_is_torn_down_after_the_last(fixture: &mut Fixture) {
    let host = fixture.host([]);
    ask(host.address(), "run=tidy,ok");
    let worker = fixture.worker([]);
    worker.printed("tidied");
    fixture.wait_until_done();
    worker.signal("TERM");
    let lines = worker.ended().stdout;
    let names: Vec<_> = lines.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, ["tidy", "ok", "tidied"]);
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

fn s13_what_does_not_end_within_the_grace_is_another_s_at_once(fixture: &mut Fixture) {
    let gate = Upstream::start();
    let host = fixture.host([]);
    ask(host.address(), &format!("run=knock,bill&gate={}", gate.url()));
    let first = fixture.worker(["--grace", "1s"]);
    let held = gate.call();
    first.signal("TERM");
    let first = first.ended();
    drop(held);
    assert!(first.stderr.iter().all(|line| !line.contains("epilogue::task: ")), "{:?}", first.stderr);
    let second = fixture.worker([]);
    gate.call().answer("go on");
    second.printed("opened 2 ");
    second.printed("bill 1 ");
    fixture.wait_until_done();
}

fn a_task_that_fails_is_tried_again_later_each_time(fixture: &mut Fixture) {
    fixture.backoff = "200ms";
    let host = fixture.host([]);
    let worker = fixture.worker([]);
    let address = host.address();
    let start = Instant::now();
    ask(address, "run=fail&attempts=6");
    worker.printed("fail 6 ");
    assert!(worker.logged("state=\"dead\"").contains("cause=\"failed\""));
    for attempt in 1..6 {
        let told = worker.logged(&format!("attempt={attempt} retry_in=\""));
        assert!(told.contains("INFO epilogue::task: will be retried request=\""), "{told}");
        assert!(
            told.contains("component=\"app\" task=1 name=\"fail\"") && told.ends_with("error=\"no paper\""),
            "{told}"
        );
    }
    // 0.1 s at the least, and twice as long each time.
    assert!(start.elapsed() >= Duration::from_millis(100 * 31), "{:?}", start.elapsed());
    assert_eq!(worker.printed_so_far("fail "), 6);
}

/// During a deployment another worker may have the component.
fn a_worker_without_the_component_leaves_the_tasks_to_others_and_then_to_the_operator(fixture: &mut Fixture) {
    let manifest = fs::read_to_string(fixture.app.path().join("spin.toml")).unwrap();
    let other = folder(&manifest.replace("[component.app]", "[component.b]").replace("\"app\"", "\"b\""));
    fixture.backoff = "200ms";
    let host = fixture.host([]);
    let stranger = Process::start(fixture.worker_of(other.path()));
    let address = host.address();
    let start = Instant::now();
    ask(address, "run=ok,bill&attempts=4");
    let why = "this version of the application has no component \"app\" with the tasks ok, bill";
    let dead = stranger.logged("state=\"dead\"");
    let quoted = format!("error=\"{}\"", why.replace('"', "\\\""));
    assert!(dead.contains("cause=\"failed\"") && dead.contains(&quoted), "{dead}");
    assert!(start.elapsed() >= Duration::from_millis(100 * 7), "{:?}", start.elapsed());
    stranger.signal("TERM");
    let stranger = stranger.ended();
    assert!(stranger.stdout.is_empty(), "{:?}", stranger.stdout);
    assert_eq!(
        stranger
            .stderr
            .iter()
            .filter(|line| line.contains("a batch cannot be run here") && line.contains(&quoted))
            .count(),
        3
    );
    let id = fixture.stored("dead").remove(0);
    assert!(fixture.tasks(["show", &id]).stdout.contains(&format!("why        {why}")));
    fixture.tasks(["retry", &id]);
    let worker = fixture.worker([]);
    worker.printed("ok 1 ");
    worker.printed("bill 1 ");
    fixture.wait_until_done();
}

fn a_worker_that_loses_its_lease_stops_the_guest(fixture: &mut Fixture) {
    fixture.visibility = "6s";
    let gate = Upstream::start();
    let host = fixture.host([]);
    ask(host.address(), &format!("run=knock,bill&gate={}", gate.url()));
    let worker = fixture.worker(["--task-timeout", "10m"]);
    let held = gate.call();
    let id = fixture.stored("leased").remove(0);
    assert_eq!(fixture.tasks(["drop", &id]).code, Some(0));
    worker.logged("dropped by an operator: the lease has ended");
    // The guest is gone: nobody waits for the answer, and nothing runs.
    drop(held);
    worker.signal("TERM");
    let ended = worker.ended();
    assert!(ended.stdout.iter().all(|line| line.starts_with("knock 1 ")), "{:?}", ended.stdout);
}

/// The task ends before the worker knows that another worker has leased the batch.
fn s3_a_worker_that_has_lost_its_lease_tells_no_end(fixture: &mut Fixture) {
    let gate = Upstream::start();
    let host = fixture.host([]);
    ask(host.address(), &format!("run=knock,bill&gate={}", gate.url()));
    let worker = fixture.worker([]);
    let held = gate.call();
    let id = fixture.stored("leased").remove(0);
    assert_eq!(fixture.tasks(["drop", &id]).code, Some(0));
    held.answer("go on");
    worker.printed("opened 1 ");
    worker.logged("dropped by an operator: the lease has ended");
    worker.signal("TERM");
    let ended = worker.ended();
    assert!(ended.stdout.iter().all(|line| !line.starts_with("bill ")), "{:?}", ended.stdout);
    assert!(ended.stderr.iter().all(|line| !line.contains("epilogue::task: ")), "{:?}", ended.stderr);
}

fn a_long_task_keeps_its_lease_and_a_silent_worker_does_not(fixture: &mut Fixture) {
    fixture.visibility = "6s";
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
    frozen.logged("the lease has ended");
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
fn s13_it_is_said_what_is_left_to_workers_until_nothing_is() {
    let fixture = Fixture::new(Kind::Sqlite);
    let gate = Upstream::start();
    let left = "stopping: 1 request, 1 task left, ";
    let host = fixture.host([]);
    ask(host.address(), &format!("run=knock,bill&gate={}", gate.url()));
    let worker = fixture.worker([]);
    let held = gate.call();
    worker.signal("TERM");
    worker.logged_times(left, 2);
    held.answer("go on");
    assert_eq!(worker.ended().code, Some(0));

    let both = fixture.host(["--work"]);
    ask(both.address(), &format!("run=knock&gate={}", gate.url()));
    let held = gate.call();
    both.signal("TERM");
    both.logged_times(left, 2);
    held.answer("go on");
    assert_eq!(both.ended().code, Some(0));
}

#[test]
fn a_redis_that_may_lose_what_it_accepted_is_warned_of() {
    let fixture = Fixture::new(Kind::Redis);
    let address = fixture.url.strip_prefix("redis://").unwrap();
    let mut server = TcpStream::connect(address).unwrap();
    server.write_all(b"CONFIG SET appendonly no\r\n").unwrap();
    let mut answer = [0; 5];
    server.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+OK\r\n");
    for process in [fixture.host([]), fixture.worker([])] {
        process.logged("since its last snapshot when it ends: set `appendonly yes`");
    }
}
