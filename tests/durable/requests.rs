//! The response to a request with durable tasks, and the tasks that are stored when the response is sent.

use std::process::Command;
use std::time::{Duration, Instant};

use epilogue::testing::TestHost;
use http::StatusCode;

use super::fixture::{Fixture, Kind, ask, words};
use crate::guests;
use crate::process::{Ended, Process, up};
use crate::support::ends;

super::on_each_engine! {
    s1_s3_a_response_and_then_the_tasks_in_order_on_a_worker,
    an_engine_that_is_away_means_503_and_nothing_runs,
    s5_a_task_that_is_added_late_is_stored_before_it_is_accepted,
    s5_a_task_that_is_added_late_and_cannot_be_stored_is_refused,
}

fn s1_s3_a_response_and_then_the_tasks_in_order_on_a_worker(fixture: &mut Fixture) {
    let host = fixture.host([]);
    let asked = ask(host.address(), "run=ok,plain,bill,closure,cancelled,ok&tag=7&ask=yes");
    let no_closure = "a closure lives in this instance's memory, so it cannot be durable: make it a named task";
    assert_eq!(asked, (StatusCode::OK, format!("1,2,3,{no_closure},4,5")));
    host.printed("plain 1 ");
    let worker = fixture.worker([]);
    worker.printed("bill");
    fixture.wait_until_done();
    worker.signal("TERM");
    let worker = worker.ended();
    assert_eq!(worker.code, Some(0));
    let lines: Vec<_> = worker.stdout.iter().map(|line| words(line)).collect();
    let request = lines[0][2];
    let keys = [1, 3, 5].map(|id| format!("{request}:{id}"));
    let names = ["ok7", "bill", "ok7"];
    let expected: Vec<_> = names.iter().zip(&keys).map(|(name, key)| [*name, "1", request, key]).collect();
    assert_eq!(lines, expected);
    assert_eq!(ends_of(&worker, request), ["1 succeeded", "3 succeeded", "5 succeeded"]);
    host.signal("TERM");
    let host = host.ended();
    // Exactly one end each, here or there (S3).
    assert_eq!(ends_of(&host, request), ["1 stored", "3 stored", "5 stored", "2 succeeded", "4 cancelled"]);
}

fn an_engine_that_is_away_means_503_and_nothing_runs(fixture: &mut Fixture) {
    let host = fixture.host([]);
    ask(host.address(), "run=ok&tag=-before");
    fixture.pause();
    assert_eq!(ask(host.address(), "run=plain").0, StatusCode::OK, "what needs no engine is served");
    host.printed("plain 1 ");
    let (status, body) = ask(host.address(), "run=ok,plain,plain");
    assert_eq!((status, body.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"));
    let refused = host.logged("not stored: the task engine is not available: ");
    assert!(!refused.contains("the handler"), "it did not fail: {refused}");
    let request = refused.split_once("request=\"").unwrap().1.split('"').next().unwrap().to_owned();
    // Neither does one run that would do so after any end of its handler.
    assert_eq!(ask(host.address(), "run=ok&when=always&tag=-always").0, StatusCode::SERVICE_UNAVAILABLE);
    fixture.resume();
    let end = Instant::now() + Duration::from_secs(60);
    while ask(host.address(), "run=ok&tag=-back").0 != StatusCode::OK {
        assert!(Instant::now() < end, "the host should find the engine again");
    }
    let worker = fixture.worker([]);
    worker.printed("ok-back 1 ");
    fixture.wait_until_done();
    worker.signal("TERM");
    let lines = worker.ended().stdout;
    assert!(lines.iter().any(|line| line.starts_with("ok-before 1 ")), "{lines:?}");
    assert!(lines.iter().all(|line| !line.contains(&request)), "{lines:?}");
    host.signal("TERM");
    let discarded = ["1 discarded", "2 discarded", "3 discarded"];
    let host = host.ended();
    assert_eq!(ends_of(&host, &request), discarded);
    let why = |task: u8| {
        let told = |line: &&String| line.contains(&request) && line.contains(&format!(" task={task} "));
        host.stderr.iter().find(told).unwrap().split_once("error=").unwrap().1
    };
    assert!(why(1).starts_with("\"not stored: the task engine is not available: "), "{}", why(1));
    assert_eq!(why(2), "\"the response was not sent, because the durable tasks were not stored\"");
    assert!(host.stdout.iter().all(|line| !line.contains("always")), "{:?}", host.stdout);
}

fn s5_a_task_that_is_added_late_is_stored_before_it_is_accepted(fixture: &mut Fixture) {
    let host = fixture.host(["--work"]);
    assert_eq!(ask(host.address(), "run=late,nested,teardown").0, StatusCode::OK);
    // Of the task that ran here, of the one that ran for a worker, and of the teardown.
    host.printed("nested 1 ");
    host.printed("teardown added ");
    host.printed("okteardown 1 ");
    fixture.wait_until_done();
    host.signal("TERM");
    let lines = host.ended().stdout;
    let count = |start: &str| lines.iter().filter(|line| line.starts_with(start)).count();
    assert_eq!((count("nested 1 "), count("plain 1 "), count("ok-nested 1 ")), (2, 2, 2), "{lines:?}");
    assert!(lines.iter().any(|line| line.ends_with("cancel false")), "{lines:?}");
    let keys: std::collections::BTreeSet<_> =
        lines.iter().filter(|line| line.starts_with("ok")).map(|line| words(line)[3]).collect();
    assert_eq!(keys.len(), 3, "{lines:?}");
}

fn s5_a_task_that_is_added_late_and_cannot_be_stored_is_refused(fixture: &mut Fixture) {
    let host = fixture.host([]);
    let address = host.address();
    fixture.pause();
    assert_eq!(ask(address, "run=late").0, StatusCode::OK, "it is not durable itself");
    let failed = host.logged("name=\"nested\"");
    let why = "it could not be stored: the task engine is not available: ";
    assert!(failed.contains("state=\"failed\"") && failed.contains(why), "{failed}");
    ask(host.address(), "run=teardown");
    assert!(host.printed("teardown: ").contains(why));
    fixture.resume();
    let end = Instant::now() + Duration::from_secs(60);
    while ask(host.address(), "run=ok&tag=-back").0 != StatusCode::OK {
        assert!(Instant::now() < end, "the host should find the engine again");
    }
    assert_eq!(fixture.stored("ready").len(), 1);
}

/// The host stores nothing in this case, and the client learns that from the status.
#[test]
fn a_disk_that_is_full_means_503_until_there_is_room() {
    let fixture = Fixture::new(Kind::Sqlite);
    let up = up(fixture.app.path(), ["--engine", &fixture.url]);
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(up.get_program()).args(up.get_args());
    let host = Process::start(command);
    assert_eq!(ask(host.address(), "run=ok&tag=-before").0, StatusCode::OK);
    host.limit_files("1");
    for _ in 0..3 {
        assert_eq!(ask(host.address(), "run=ok,plain&tag=-amid").0, StatusCode::SERVICE_UNAVAILABLE);
    }
    host.logged("not stored: the task engine is not available: sqlite:");
    assert_eq!(ask(host.address(), "run=plain").0, StatusCode::OK, "what needs no engine is served");
    host.limit_files("unlimited");
    assert_eq!(ask(host.address(), "run=ok&tag=-after").0, StatusCode::OK);
    let worker = fixture.worker([]);
    worker.printed("ok-after 1 ");
    fixture.wait_until_done();
    worker.signal("TERM");
    let lines = worker.ended().stdout;
    let ran: std::collections::BTreeSet<_> = lines.iter().map(|line| words(line)[0]).collect();
    assert_eq!((lines.len(), ran), (2, ["ok-before", "ok-after"].into()));
}

#[test]
fn s6_what_the_handler_s_end_lets_run_is_stored() {
    let mut fixture = Fixture::new(Kind::Sqlite);
    let host = fixture.host(["--work"]);
    // It traps: what runs on success is gone, and what runs in any case is told of it.
    let (status, _) = ask(host.address(), "run=bill,trap");
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    host.logged("state=\"discarded\"");
    let (status, _) = ask(host.address(), "run=ok,bill,error&when=always&tag=-always");
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    host.printed("ok-always 1 ");
    fixture.wait_until_done();
    host.signal("TERM");
    let lines = host.ended().stdout;
    assert!(lines.iter().all(|line| !line.starts_with("bill")), "{lines:?}");
    fixture.resume();
}

#[test]
fn s8_the_operator_can_make_tasks_durable_and_those_of_a_stream_too() {
    let fixture = Fixture::new(Kind::Sqlite);
    let host = TestHost::component(guests::STREAMING).setting("engine", &fixture.url).setting("durable", "true");
    let host = host.setting("work", "true").start();
    let exchange = host.post("/", "12345");
    assert_eq!(exchange.text(), "begin\n12345end\n");
    let record = exchange.drained();
    assert_eq!(record.stored.iter().map(|task| (task.id, task.name.as_str())).collect::<Vec<_>>(), [(1, "count")]);
    assert!(record.tasks.is_empty());
    fixture.wait_until_done();
    assert_eq!(host.stdout(), "echoed 5 bytes\n");
}

#[test]
fn durable_by_default_leaves_here_what_cannot_be_stored() {
    let fixture = Fixture::new(Kind::Sqlite);
    let host = TestHost::component(guests::DURABLE).setting("engine", &fixture.url).setting("durable", "true").start();
    let record = host.get("/?run=plain,closure,leaving&ask=no").drained();
    assert_eq!(record.stored.iter().map(|task| task.name.as_str()).collect::<Vec<_>>(), ["plain"]);
    assert_eq!(ends(&record), ["closure succeeded", "ok succeeded"]);
    let reason =
        "a durable task is stored before its response is sent, so it cannot be cancelled when the client leaves";
    assert_eq!(host.get("/?run=leaving").text(), reason);
}

#[test]
fn durable_without_an_engine_is_refused_at_the_start() {
    let error = TestHost::component(guests::DURABLE).setting("durable", "true").try_start().err().unwrap();
    let expected = "component \"test\" has durable = true, but no task engine is set: use --engine, such as --engine sqlite:tasks.db";
    assert_eq!(format!("{error:#}"), expected);
}

/// How a request's tasks ended in a process, by the events that it logged. Each is like `1 succeeded`.
fn ends_of(ended: &Ended, request: &str) -> Vec<String> {
    let events = ended.stderr.iter().filter(|line| line.contains("epilogue::task: ") && line.contains(request));
    let ends = events.filter_map(|line| {
        let task = line.split_once(" task=")?.1.split(' ').next()?;
        let state = line.split_once("state=\"").map_or("stored", |(_, state)| state.split('"').next().unwrap());
        Some(format!("{task} {state}"))
    });
    ends.collect()
}
