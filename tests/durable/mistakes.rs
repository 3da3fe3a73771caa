//! If an engine can never be used, the host does not start, and its message says what to do. If the engine may become
//! available, the host waits for it.

use super::fixture::{Fixture, Kind};
use crate::process::{Process, epilogue, up};

/// What a host, a worker and `epilogue tasks` print about an engine that they cannot use, before they end with code 1.
fn refused(fixture: &Fixture, url: &str) -> Vec<String> {
    let mut worker = epilogue(["worker", "--engine", url, "--from"]);
    worker.arg(fixture.app.path());
    let commands = [up(fixture.app.path(), ["--engine", url]), worker, epilogue(["tasks", "list", "--engine", url])];
    let refused = commands.map(|command| {
        let ended = Process::start(command).ended();
        assert_eq!(ended.code, Some(1), "{url}: {:?}", ended.stderr);
        let text = ended.stderr.join("\n");
        assert!(!text.contains("secret") && text.contains("rror: "), "{text}");
        text
    });
    refused.into()
}

#[test]
fn a_redis_that_can_never_be_used_ends_the_start_and_the_message_names_it() {
    let fixture = Fixture::new(Kind::Redis);
    let address = fixture.url.strip_prefix("redis://").unwrap();
    for (url, named, what) in [
        (format!("redis://user:secret@{address}/2"), format!("redis://{address}/2: "), "correct them in the URL"),
        (format!("redis://{address}/100000"), format!("redis://{address}/100000: "), "has no database of this number"),
        ("redis://:secret@a..b".to_owned(), "redis://a..b: ".to_owned(), "host is not known"),
    ] {
        for text in refused(&fixture, &url) {
            assert!(text.contains(&named) && text.contains(what), "{text}");
        }
    }
    let nats = Fixture::new(Kind::Nats);
    let url = nats.url.replace("nats://", "redis://");
    for text in refused(&fixture, &url) {
        assert!(text.contains(&format!("{url}: the server there does not speak Redis' protocol")), "{text}");
    }
}

#[test]
fn a_file_that_can_never_be_used_ends_the_start_and_the_message_names_it() {
    let fixture = Fixture::new(Kind::Sqlite);
    let folder = fixture.app.path();
    let nowhere = folder.join("none/tasks.db");
    let manifest = folder.join("spin.toml");
    for (file, what) in [
        (nowhere.as_path(), "which does not exist: make it"),
        (manifest.as_path(), "is no SQLite database: name another file"),
        (folder, "is a folder: name a file"),
    ] {
        for text in refused(&fixture, &format!("sqlite:{}", file.display())) {
            assert!(text.contains(&format!("sqlite:{} ", file.display())) && text.contains(what), "{text}");
        }
    }
}

/// The message names the server. The worker logs when the server has come.
#[test]
fn an_engine_that_may_come_is_waited_for() {
    let mut fixture = Fixture::new(Kind::Redis);
    fixture.pause();
    let named = format!("{}: Redis: ", fixture.url);
    let host = fixture.host([]);
    host.logged(&format!("durable tasks are refused for now, because the task engine is not available: {named}"));
    let worker = fixture.worker([]);
    worker.logged(&format!("epilogue::worker: the task engine is not available: {named}"));
    fixture.resume();
    worker.logged("the task engine is available again, after ");
}
