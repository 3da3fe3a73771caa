//! What the system has no room for: fewer instances than `max-instances`, and none at all for a while.

use std::process::Command;

use http::StatusCode;

use crate::client::{Protocol, exchange, get};
use crate::guests;
use crate::process::{Process, application, up};

/// The command with a limit of addresses, in bytes.
fn limited(command: &Command, addresses: u64) -> Command {
    let mut limited = Command::new("prlimit");
    limited.arg(format!("--as={addresses}")).arg("--").arg(command.get_program()).args(command.get_args());
    limited
}

#[test]
fn a_host_with_few_addresses_has_few_instances() {
    let app = application(guests::HELLO, "");
    let host = Process::start(limited(&up(app.path(), []), 64 << 30));
    let line = host.logged("the system has no addresses for");
    assert!(line.contains("there is room for 9 now") && line.contains("max-instances"), "{line}");
    assert_eq!(get(host.address(), "/"), "Hello, world!");
}

#[test]
fn s12_a_request_without_memory_for_an_instance_gets_503() {
    let app = application(guests::HELLO, "");
    let host = Process::start(up(app.path(), ["--threads", "1"]));
    let status = || {
        let request = http::Request::get("/").body(http_body_util::Full::default()).unwrap();
        exchange(host.address(), Protocol::Http1, request).status()
    };
    // The thread runs.
    get(host.address(), "/.well-known/spin/health");
    // Room for what the host needs for a connection, but not for a guest's memory.
    host.limit_data(Some(256 << 10));
    assert_eq!(status(), StatusCode::SERVICE_UNAVAILABLE);
    let line = host.logged("a request has no instance");
    assert!(line.contains("the system has nothing left for it"), "{line}");
    host.limit_data(None);
    assert_eq!(status(), StatusCode::OK);
}
