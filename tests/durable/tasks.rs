//! `epilogue tasks`: what operators see and do.

use super::fixture::{Fixture, Kind, ask};

super::on_each_engine! {
    what_is_stored_can_be_seen_and_dropped,
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
        ["state      ready", "component  app", "ok [\"-seen\"]  (attempt 0 of 3; key ", "bill null  (waits; key "]
    {
        assert!(shown.contains(part), "{part:?} should be in\n{shown}");
    }
    assert_eq!(fixture.tasks(["retry", &id]).code, Some(1), "it is not dead");
    assert_eq!(fixture.tasks(["drop", &id]).stderr, [format!("{id} dropped")]);
    assert_eq!(fixture.tasks(["show", &id]).code, Some(1));
    assert!(fixture.tasks(["list", "--json"]).stdout.is_empty());
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
        error.starts_with("Error: the task engine cannot be used: the scheme 'amqp:' names no task engine"),
        "{error}"
    );
    assert!(!error.contains("secret"));
}
