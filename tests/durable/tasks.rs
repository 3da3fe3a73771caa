//! `epilogue tasks`: its output, and the changes that operators make with it.

use std::process::Command;

use super::fixture::{Fixture, Kind, ask};
use crate::process::Process;
use crate::upstream::Upstream;

/// A program that runs a command on a terminal, types an answer, and prints what the command said.
const TERMINAL: &str = "import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
os.write(terminal, sys.argv[1].encode() + b'\\n')
said = b''
while True:
    try:
        some = os.read(terminal, 4096)
    except OSError:
        break
    if not some:
        break
    said += some
sys.stdout.buffer.write(said)";

super::on_each_engine! {
    what_is_stored_can_be_seen_and_dropped,
    what_is_to_be_dropped_is_counted_and_asked_for,
    what_passes_a_filter_is_dropped_and_retried,
    an_id_that_is_a_pattern_is_nobody_s,
    a_look_shows_what_is_leased_and_leaves_it_so,
}

fn what_is_stored_can_be_seen_and_dropped(fixture: &mut Fixture) {
    let host = fixture.host([]);
    ask(host.address(), "run=ok,bill&tag=-seen");
    let list = fixture.tasks(["list"]);
    assert_eq!(list.stderr, ["1 ready, 0 delayed, 0 leased, 0 dead"]);
    assert!(list.stdout[0].starts_with("ID ") && list.stdout[1].ends_with(" ok"), "{:?}", list.stdout);
    let id = fixture.stored("ready").remove(0);
    let shown = fixture.tasks(["show", &id]).stdout.join("\n");
    for part in
        ["state      ready", "component  app", "ok [\"-seen\"]  (attempt 0 of 10; key ", "bill null  (waits; key "]
    {
        assert!(shown.contains(part), "{part:?} should be in\n{shown}");
    }
    let shown = fixture.tasks(["show", &id, "--json"]).stdout.join("\n");
    // `["-seen"]`
    assert!(shown.contains("\"args\":\"WyItc2VlbiJd\""), "{shown}");
    assert!(!fixture.tasks(["list", "--json"]).stdout[0].contains("\"args\""), "a list is to be short");
    assert_eq!(fixture.tasks(["retry", &id]).code, Some(1), "it is not dead");
    let dropped = fixture.tasks(["drop", &id]).stderr;
    assert!(dropped.len() == 3 && dropped[2] == format!("{id} dropped"), "{dropped:?}");
    for (line, name) in dropped.iter().zip(["ok", "bill"]) {
        assert!(line.contains("epilogue::task: ") && line.contains("state=\"dropped\""), "{line}");
        assert!(line.contains(&format!("name=\"{name}\"")), "{line}");
    }
    assert_eq!(fixture.tasks(["show", &id]).code, Some(1));
    assert!(fixture.tasks(["list", "--json"]).stdout.is_empty());
}

fn what_is_to_be_dropped_is_counted_and_asked_for(fixture: &mut Fixture) {
    let host = fixture.host([]);
    ask(host.address(), "run=plain");
    assert_eq!(fixture.tasks(["drop", "--all"]).stderr, ["0 of 0 dropped"], "there is nothing to ask for");
    ask(host.address(), "run=ok,bill");
    ask(host.address(), "run=ok");
    let refused = fixture.tasks(["drop", "--all"]);
    let why =
        "Error: 2 requests with 3 tasks would be dropped: there is no terminal to ask on, so use --yes to drop them";
    assert_eq!((refused.code, refused.stderr), (Some(1), vec![why.to_owned()]));

    let asked = |answer: &str| {
        let mut python = Command::new("python3");
        python.args(["-c", TERMINAL, answer, env!("CARGO_BIN_EXE_epilogue"), "tasks", "drop", "--all"]);
        Process::start({
            python.args(["--engine", &fixture.url]);
            python
        })
        .ended()
        .stdout
        .join("\n")
    };
    let said = asked("n");
    assert!(said.contains("2 requests with 3 tasks will be dropped, and the tasks never run."), "{said}");
    assert!(said.contains("Go on? [y/N] ") && said.contains("nothing was dropped"), "{said}");
    assert_eq!(fixture.stored("ready").len(), 2);
    let said = asked("y");
    assert!(said.contains("2 of 2 dropped") && said.matches("dropped").count() > 3, "{said}");
    assert!(fixture.stored("ready").is_empty());
}

fn what_passes_a_filter_is_dropped_and_retried(fixture: &mut Fixture) {
    let host = fixture.host([]);
    for run in ["ok,bill", "bill,ok", "ok", "fail&attempts=1", "panic,bill&attempts=1"] {
        ask(host.address(), &format!("run={run}"));
    }
    let worker = fixture.worker([]);
    fixture.wait_until_done();
    worker.signal("TERM");
    worker.ended();
    for run in ["ok,bill", "bill,ok", "ok"] {
        ask(host.address(), &format!("run={run}"));
    }
    let did = |arguments: &[&str], expected: &str| {
        let ended = fixture.tasks(arguments.iter().copied());
        assert_eq!((ended.code, ended.stderr.last().map(String::as_str)), (Some(0), Some(expected)), "{arguments:?}");
    };
    did(&["retry", "--component", "other"], "0 of 0 made ready");
    did(&["retry", "--task", "bill"], "1 of 1 made ready");
    did(&["retry", "--component", "app"], "1 of 1 made ready");
    did(&["drop", "--component", "other", "--yes"], "0 of 0 dropped");
    did(&["drop", "--task", "bill", "--state", "dead", "--yes"], "0 of 0 dropped");
    did(&["drop", "--task", "bill", "--yes"], "3 of 3 dropped");
    did(&["drop", "--component", "app", "--state", "ready", "--yes"], "2 of 2 dropped");
    assert!(fixture.listed([]).is_empty());
    assert_eq!(fixture.tasks(["drop", "--state", "dead"]).code, Some(2), "one says which");
    assert_eq!(fixture.tasks(["drop", "--all", "id"]).code, Some(2));
}

/// In NATS, `*` and `>` are patterns that match every ID.
fn an_id_that_is_a_pattern_is_nobody_s(fixture: &mut Fixture) {
    let host = fixture.host([]);
    ask(host.address(), "run=ok");
    for id in ["*", ">", "", "a b"] {
        for (command, said) in [
            ("show", "is not stored"),
            ("retry", "is not dead, so it cannot be retried: `epilogue tasks dead` lists the dead tasks"),
            ("drop", "is not stored"),
        ] {
            let ended = fixture.tasks([command, id]);
            assert_eq!((ended.code, ended.stderr), (Some(1), vec![format!("{id} {said}")]), "{command}");
        }
    }
    assert_eq!(fixture.stored("ready").len(), 1);
}

/// The leases are longer than by default, and `epilogue tasks` does not know their length.
fn a_look_shows_what_is_leased_and_leaves_it_so(fixture: &mut Fixture) {
    let gate = Upstream::start();
    fixture.visibility = "10m";
    let host = fixture.host([]);
    let worker = fixture.worker(["--concurrency", "1"]);
    ask(host.address(), &format!("run=knock,bill&gate={}", gate.url()));
    let held = gate.call();
    let shown = fixture.tasks(["list", "--json", "--visibility-timeout", "10m"]).stdout;
    assert!(shown.len() == 1 && shown[0].contains("\"state\":\"leased\""), "{shown:?}");
    assert_eq!(fixture.tasks(["list"]).stdout.len(), 2);
    held.answer("go on");
    worker.printed("bill 1 ");
    fixture.wait_until_done();
}

#[test]
fn a_file_that_is_not_there_is_named_and_not_made() {
    let fixture = Fixture::new(Kind::Sqlite);
    let ended = fixture.tasks(["list"]);
    assert_eq!(ended.code, Some(1));
    let file = fixture.app.path().join("tasks.db");
    let expected = format!("Error: the task engine is not available: sqlite:{}: No such file", file.display());
    assert!(ended.stderr[0].starts_with(&expected), "{:?}", ended.stderr);
    assert!(!file.exists());
}

#[test]
fn the_manifest_names_the_engine() {
    let fixture = Fixture::new(Kind::Sqlite);
    let host = fixture.host([]);
    ask(host.address(), "run=ok");
    let manifest = fixture.app.path().join("spin.toml");
    let engine = format!("\n[application.tool.epilogue]\nengine = {:?}\n", fixture.url);
    let text = std::fs::read_to_string(&manifest).unwrap() + &*engine;
    std::fs::write(&manifest, text).unwrap();
    let mut command = crate::process::epilogue(["tasks", "list", "--from"]);
    command.arg(fixture.app.path());
    let ended = crate::process::Process::start(command).ended();
    assert_eq!(ended.stderr, ["1 ready, 0 delayed, 0 leased, 0 dead"]);
}

#[test]
fn an_engine_that_is_none_is_named_without_its_password() {
    let fixture = Fixture::new(Kind::Sqlite);
    let tasks = |url: &str| {
        let mut command = crate::process::epilogue(["tasks", "list", "--engine", url]);
        command.current_dir(fixture.app.path());
        let ended = crate::process::Process::start(command).ended();
        assert_eq!(ended.code, Some(1));
        ended.stderr.join("\n")
    };
    let error = tasks("amqp://guest:secret@localhost");
    assert!(
        error.starts_with(
            "Error: the task engine cannot be used: amqp://localhost: the scheme 'amqp:' names no task engine"
        ),
        "{error}"
    );
    assert!(!error.contains("secret"));
    assert_eq!(
        tasks("memory:"),
        "Error: no other process can read the engine \"memory:\": use sqlite:PATH, redis://HOST or nats://HOST"
    );
}
