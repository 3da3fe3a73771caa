//! A worker whose application changes. Running batches end on the old version, and batches that are leased later run on
//! the new version.

use std::fs;

use http::StatusCode;

use super::fixture::{Fixture, Kind, ask, words};
use crate::guests;
use crate::process::Process;
use crate::upstream::Upstream;

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
    worker.logged("the old version keeps running");
    ask(host.address(), "run=ok&tag=-last");
    worker.printed("ok-last-new 1 ");
    fixture.wait_until_done();
    worker.signal("TERM");
    assert_eq!(worker.ended().code, Some(0));
}

/// Builds a component that prints another word. So what a task prints shows on which component it ran.
#[test]
fn a_worker_that_watches_runs_what_is_built_anew_and_loses_no_task() {
    let gate = Upstream::start();
    let fixture = Fixture::new(Kind::Sqlite);
    let source = fixture.app.path().join("word");
    let build = format!(
        "word=$(cat word) && LC_ALL=C sed \"s/opened/$word/g\" {} > built && mv built app.wasm",
        guests::DURABLE
    );
    let build = format!("build = {{ command = {build:?}, watch = [\"word\"] }}\n");
    let manifest = fixture.app.path().join("spin.toml");
    let text = fs::read_to_string(&manifest).unwrap().replace(guests::DURABLE, "app.wasm");
    fs::write(&manifest, format!("{text}{build}")).unwrap();
    fs::write(&source, "opened").unwrap();
    let worker = fixture.worker(["--build", "--watch"]);
    let host = fixture.host([]);
    let knock = |tag: &str| {
        let query = format!("run=knock,ok&tag=-{tag}&gate={}", gate.url());
        assert_eq!(ask(host.address(), &query).0, StatusCode::OK);
        gate.call()
    };
    let some = |tag: &str| {
        for number in 0..20 {
            assert_eq!(ask(host.address(), &format!("run=ok,ok&tag=-{tag}{number}")).0, StatusCode::OK);
        }
    };

    let first = knock("first");
    some("early");
    fs::write(&source, "reborn").unwrap();
    some("amid");
    worker.logged("rebuilt app");
    worker.logged("reloaded test (1 component)");
    let second = knock("second");
    second.answer("go on");
    worker.printed("reborn 1 ");
    first.answer("go on");
    worker.printed("opened 1 ");

    // What does not build changes nothing.
    fs::remove_file(&source).unwrap();
    fs::create_dir(&source).unwrap();
    let error = worker.logged("the old version keeps running");
    assert!(error.contains("building app failed"), "{error}");
    knock("third").answer("go on");
    worker.printed("ok-third 1 ");
    fixture.wait_until_done();
    check(worker);
}

/// Each of the tasks above has run once: two for each of 40 requests, and of three knocks one on the old component.
fn check(worker: Process) {
    worker.signal("TERM");
    let ended = worker.ended();
    assert_eq!(ended.code, Some(0), "{:?}", ended.stderr);
    let names: Vec<_> =
        ended.stdout.iter().map(|line| words(line)).map(|[name, attempt, ..]| (name, attempt)).collect();
    assert!(names.iter().all(|(_, attempt)| *attempt == "1"), "{names:?}");
    let count = |start: &str| names.iter().filter(|(name, _)| name.starts_with(start)).count();
    assert_eq!((count("knock"), count("opened"), count("reborn"), count("ok-")), (3, 1, 2, 83), "{names:?}");
}
