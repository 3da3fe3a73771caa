//! What the system has no room for: fewer instances than `max-instances`, and none at all for a while.

use std::process::Command;

use http::StatusCode;

use crate::client::{Protocol, exchange, get};
use crate::guests;
use crate::process::{Process, application, retry, up};

/// The command with a limit of addresses, in bytes.
fn limited(command: &Command, addresses: u64) -> Command {
    let mut limited = Command::new("prlimit");
    limited.arg(format!("--as={addresses}")).arg("--").arg(command.get_program()).args(command.get_args());
    limited
}

fn status(host: &Process, path: &str) -> StatusCode {
    let request = http::Request::get(path).body(http_body_util::Full::default()).unwrap();
    exchange(host.address(), Protocol::Http1, request).status()
}

#[test]
fn a_host_with_few_addresses_has_few_instances() {
    let app = application(guests::HELLO, "");
    let host = Process::start(limited(&up(app.path(), []), 64 << 30));
    let line = host.logged("the address space has no room for");
    assert!(line.contains("only for 9. ") && line.contains("set max-instances to 9"), "{line}");
    assert_eq!(get(host.address(), "/"), "Hello, world!");
}

#[test]
fn s12_a_request_without_memory_for_an_instance_gets_503() {
    let app = application(guests::HELLO, "");
    let host = Process::start(up(app.path(), ["--threads", "1"]));
    let status = || status(&host, "/");
    // The thread runs.
    get(host.address(), "/.well-known/spin/health");
    // Room for what the host needs for a connection, but not for a guest's memory.
    host.limit_data(Some(256 << 10));
    assert_eq!(status(), StatusCode::SERVICE_UNAVAILABLE);
    let line = host.logged("a request has no instance");
    assert!(line.contains("the system has no memory, memory mapping or file descriptor left"), "{line}");
    host.limit_data(None);
    assert_eq!(status(), StatusCode::OK);
}

#[test]
fn s12_while_tasks_hold_the_memory_requests_get_503_and_no_task_is_lost() {
    let app = application(guests::HOSTILE, "");
    let arguments = ["--threads", "1", "--max-memory", "400MiB", "--task-timeout", "5s"];
    let host = Process::start(up(app.path(), arguments));
    let mut held = 0;
    while status(&host, "/?do=hold&at=task") == StatusCode::OK {
        held += 1;
        retry(|| (host.printed_so_far("holds") == held).then_some(()));
    }
    assert!((2..=3).contains(&held), "{held} tasks of 100 MiB each");
    let line = host.logged("a request has no instance");
    assert!(line.contains("nearly all of max-memory"), "{line}");
    // The tasks end, and then there is room again.
    host.logged_times("name=\"deed\" state=\"timed-out\"", held);
    host.logged_times("name=\"after\" state=\"succeeded\"", held);
    retry(|| (status(&host, "/?do=nothing&at=handler") == StatusCode::OK).then_some(()));
}

#[test]
fn s12_a_guest_cannot_grow_beyond_the_memory_of_the_process() {
    let app = application(guests::HOSTILE, "[component.app.tool.epilogue]\nmemory = \"4GiB\"");
    let host = Process::start(up(app.path(), ["--threads", "1", "--max-memory", "300MiB"]));
    assert_eq!(status(&host, "/?do=grow&at=handler"), StatusCode::INTERNAL_SERVER_ERROR);
    let most = host.memory() >> 20;
    assert!((270..500).contains(&most), "{most} MiB");
    assert_eq!(status(&host, "/?do=nothing&at=handler"), StatusCode::OK);
}
