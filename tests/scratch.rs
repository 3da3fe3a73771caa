//! Copies of components' files do not outlive the host, however it ends in order.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempDir;

use crate::client::get;
use crate::guests;
use crate::process::{Process, application, epilogue, up};
use crate::upstream::Upstream;

/// An application whose component has copies of its files, and a folder for them.
fn with_files(component: &str, more: &str) -> (TempDir, TempDir) {
    let app = application(component, &format!("files = [\"assets/**/*\"]\n{more}"));
    fs::create_dir_all(app.path().join("assets/deep")).unwrap();
    fs::write(app.path().join("assets/deep/a.txt"), "an asset").unwrap();
    (app, tempfile::tempdir().unwrap())
}

fn start<'a>(app: &Path, scratch: &Path, arguments: impl IntoIterator<Item = &'a str>) -> Process {
    let mut command = up(app, arguments);
    command.env("TMPDIR", scratch);
    let host = Process::start(command);
    host.address();
    host
}

fn left(scratch: &Path) -> Vec<String> {
    let entries = fs::read_dir(scratch).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    entries.collect()
}

#[test]
fn copies_of_files_go_with_each_signal() {
    for signal in ["TERM", "INT"] {
        for more in ["", "tool.epilogue.allow-transient-write = true"] {
            let (app, scratch) = with_files(guests::SYSTEM, more);
            let host = start(app.path(), scratch.path(), []);
            let made = left(scratch.path());
            assert!(made.len() == 1 && made[0].starts_with("epilogue-"), "{made:?}");
            let written = if more.is_empty() { "no write: " } else { "written" };
            assert!(get(host.address(), "/write?/assets/new.txt").starts_with(written));
            host.signal(signal);
            assert_eq!(host.ended().code, Some(0));
            assert!(left(scratch.path()).is_empty(), "{:?}", left(scratch.path()));
        }
    }
}

#[test]
fn copies_of_files_go_with_a_second_signal_and_with_a_reload() {
    let upstream = Upstream::start();
    let more = format!("allowed_outbound_hosts = [{:?}]", upstream.url());
    let (app, scratch) = with_files(guests::OUTBOUND, &more);
    let host = start(app.path(), scratch.path(), []);
    assert_eq!(get(host.address(), &format!("/later?{}", upstream.url())), "later");
    let _task = upstream.call();
    host.signal("HUP");
    host.logged("reloaded");
    // The first version's go with its last request.
    assert_eq!(left(scratch.path()).len(), 2);
    host.signal("TERM");
    host.logged("stopping: ");
    host.signal("TERM");
    assert_eq!(host.ended().code, Some(3));
    assert!(left(scratch.path()).is_empty(), "{:?}", left(scratch.path()));
}

#[test]
fn copies_of_files_go_where_nothing_is_served() {
    let (app, scratch) = with_files(guests::TASKS, "");
    let engine = format!("sqlite:{}", app.path().join("tasks.db").display());
    let mut worker = epilogue(["worker", "--engine", &engine, "--from"]);
    worker.arg(app.path()).env("TMPDIR", scratch.path());
    let worker = Process::start(worker);
    worker.logged("durable tasks are run here");
    assert_eq!(left(scratch.path()).len(), 1);
    worker.signal("TERM");
    assert_eq!(worker.ended().code, Some(0));
    assert!(left(scratch.path()).is_empty(), "{:?}", left(scratch.path()));

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = epilogue(["up", "--listen", &address, "--from"]);
    command.arg(app.path()).env("TMPDIR", scratch.path());
    assert_eq!(Process::start(command).ended().code, Some(1));
    assert!(left(scratch.path()).is_empty(), "{:?}", left(scratch.path()));
}

#[test]
fn copies_of_a_killed_host_go_when_the_next_one_starts() {
    let (app, scratch) = with_files(guests::SYSTEM, "");
    let killed = start(app.path(), scratch.path(), []);
    let alive = start(app.path(), scratch.path(), []);
    let made = left(scratch.path());
    assert_eq!(made.len(), 2, "{made:?}");
    for folder in made {
        let mode = fs::metadata(scratch.path().join(folder)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
    killed.signal("KILL");
    killed.ended();
    assert_eq!(left(scratch.path()).len(), 2);
    let next = start(app.path(), scratch.path(), []);
    assert_eq!(left(scratch.path()).len(), 2);
    for host in [alive, next] {
        assert_eq!(get(host.address(), "/read?/assets/deep/a.txt"), "an asset");
        host.signal("TERM");
        assert_eq!(host.ended().code, Some(0));
    }
    assert!(left(scratch.path()).is_empty(), "{:?}", left(scratch.path()));
}
