//! Processes that are stopped for longer than a lease lasts, and a machine's clock that jumps: nothing runs twice.

use std::fs;
use std::process::Command;

use super::fixture::{Fixture, Kind, ask, words};
use crate::process::{Process, retry};
use crate::upstream::Upstream;

/// The names of the tasks that a process ran, with their attempts.
fn ran(process: Process) -> Vec<String> {
    process.signal("TERM");
    let ended = process.ended();
    assert_eq!(ended.code, Some(0), "{:?}", ended.stderr);
    ended.stdout.iter().map(|line| words(line)[..2].join(" ")).collect()
}

/// No other process runs. When the stopped process goes on, it still holds its batches. Each task runs once, also a
/// task with one attempt.
fn a_process_that_is_stopped_takes_its_own_tasks_for_nobody_elses(kind: Kind) {
    let mut fixture = Fixture::new(kind);
    fixture.visibility = "2s";
    let gate = Upstream::start();
    let host = fixture.host([]);
    let worker = fixture.worker([]);
    ask(host.address(), &format!("run=knock,bill&attempts=1&gate={}", gate.url()));
    let first = gate.call();
    ask(host.address(), &format!("run=knock,bill&gate={}", gate.url()));
    let second = gate.call();
    worker.signal("STOP");
    let ended = || {
        let listed = fixture.tasks(["list", "--state", "ready", "--json", "--visibility-timeout", "2s"]);
        (listed.stdout.len() == 2).then_some(())
    };
    retry(ended);
    worker.signal("CONT");
    // It leases again, and what comes first is what it finds first.
    ask(host.address(), "run=ok");
    worker.printed("ok 1 ");
    first.answer("go on");
    second.answer("go on");
    fixture.wait_until_done();
    assert!(fixture.stored("dead").is_empty());
    let mut ran = ran(worker);
    ran.sort();
    assert_eq!(ran, ["bill 1", "bill 1", "knock 1", "knock 1", "ok 1", "opened 1", "opened 1"]);
}

#[test]
fn a_process_on_sqlite_that_is_stopped_takes_its_own_tasks_for_nobody_elses() {
    a_process_that_is_stopped_takes_its_own_tasks_for_nobody_elses(Kind::Sqlite);
}

#[test]
fn a_process_on_redis_that_is_stopped_takes_its_own_tasks_for_nobody_elses() {
    a_process_that_is_stopped_takes_its_own_tasks_for_nobody_elses(Kind::Redis);
}

/// Another process takes over while the first one is stopped. When the first one goes on, it starts no more tasks of the batch.
fn a_process_that_is_stopped_starts_nothing_that_another_has_taken_over(fixture: &mut Fixture) {
    fixture.visibility = "2s";
    let gate = Upstream::start();
    let host = fixture.host([]);
    let stopped = fixture.worker([]);
    ask(host.address(), &format!("run=knock,ok,bill&gate={}", gate.url()));
    let held = gate.call();
    stopped.signal("STOP");
    let other = fixture.worker([]);
    let again = gate.call();
    held.answer("go on");
    stopped.signal("CONT");
    stopped.logged("left to another worker: the lease has ended");
    again.answer("go on");
    fixture.wait_until_done();
    assert_eq!(ran(other), ["knock 2", "opened 2", "ok 1", "bill 1"]);
    let stopped = ran(stopped);
    assert!(stopped == ["knock 1"] || stopped == ["knock 1", "opened 1"], "{stopped:?}");
}

super::on_each_engine! { a_process_that_is_stopped_starts_nothing_that_another_has_taken_over, }

/// The library that `faketime` loads into a process. The test loads it itself, because `faketime` would stay between the process and
/// the test's signals.
fn preloaded() -> String {
    let asked = Command::new("faketime").args(["-m", "-f", "+0", "printenv", "LD_PRELOAD"]).output();
    let output =
        asked.unwrap_or_else(|error| panic!("faketime cannot be run ({error}): install Debian's package faketime"));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The wall clock jumps an hour ahead, and an hour back.
#[test]
fn a_clock_that_jumps_runs_no_task_twice_and_holds_up_none_on_sqlite() {
    let fixture = Fixture::new(Kind::Sqlite);
    let gate = Upstream::start();
    let host = fixture.host([]);
    let clock = fixture.app.path().join("clock");
    fs::write(&clock, "+0").unwrap();
    let mut command = fixture.worker_command([]);
    command.env("LD_PRELOAD", preloaded()).env("FAKETIME_TIMESTAMP_FILE", &clock).env("FAKETIME_NO_CACHE", "1");
    // As real as those of the host.
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
    let worker = Process::start(command);
    worker.logged("durable tasks are run here, by");
    ask(host.address(), &format!("run=knock,bill&attempts=1&gate={}", gate.url()));
    let held = gate.call();
    for (offset, tag) in [("+3600", "ahead"), ("-3600", "back")] {
        fs::write(&clock, offset).unwrap();
        ask(host.address(), &format!("run=ok&tag=-{tag}"));
        worker.printed(&format!("ok-{tag} 1 "));
    }
    held.answer("go on");
    fixture.wait_until_done();
    assert!(fixture.stored("dead").is_empty());
    assert_eq!(ran(worker), ["knock 1", "ok-ahead 1", "ok-back 1", "opened 1", "bill 1"]);
}
