//! Tasks whose instance has died wait for room for another, as long as they have time (S14).

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use tempfile::TempDir;

use crate::client::get;
use crate::guests;
use crate::process::{Process, application, up};
use crate::socket::Socket;

/// A host with room for one instance, which another request has taken. A request's task has trapped, and waits for an instance.
struct Full {
    host: Process,
    /// The request that has taken the instance, for as long as its body is not complete.
    other: Socket,
    _app: TempDir,
}

impl Full {
    fn start(drain_timeout: &str) -> Self {
        let app = application(guests::HOSTILE, "");
        let arguments = ["--max-instances", "1", "--threads", "1", "--drain-timeout", drain_timeout, "--grace", "1m"];
        let host = Process::start(up(app.path(), arguments));
        let address = host.address();
        assert_eq!(get(address, "/?do=stubborn&at=task"), "done");
        // It panics five times, with longer and longer pauses without an instance.
        let other = loop {
            let mut other = Socket::connect_to(address);
            other.write("POST / HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: 4\r\n\r\nha");
            if other.head().starts_with("HTTP/1.1 200") {
                break other;
            }
        };
        host.logged("tasks wait for an instance");
        assert_eq!(status(address), 503, "and nobody overtakes them");
        host.logged("there is no room for another instance: waiting tasks get the next instance");
        Self { host, other, _app: app }
    }
}

/// Sends a request, and returns the response's status.
fn status(address: SocketAddr) -> u16 {
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"GET /?do=nothing&at=handler HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    client.read_to_string(&mut response).unwrap();
    response[9..12].parse().unwrap()
}

#[test]
fn s14_tasks_wait_for_room() {
    let mut full = Full::start("1m");
    full.other.write("lf");
    assert!(full.other.rest().contains("lf"));

    let line = full.host.logged("name=\"stubborn\" state=");
    assert!(line.contains("succeeded") && line.contains("attempt=6"), "{line}");
    full.host.printed("after");
    full.host.signal("TERM");
    let ended = full.host.ended();
    assert_eq!(ended.code, Some(0), "{:?}", ended.stderr);
}

#[test]
fn s14_tasks_wait_no_longer_than_they_have_time() {
    let full = Full::start("5s");
    let line = full.host.logged("name=\"stubborn\" state=");
    assert!(line.contains("abandoned") && line.contains("there is no room for another instance"), "{line}");
}

#[test]
fn s14_tasks_that_wait_for_room_are_abandoned_at_the_hosts_end() {
    let full = Full::start("1m");
    full.host.signal("TERM");
    full.host.logged("the same signal");
    full.host.signal("TERM");
    let line = full.host.logged("name=\"stubborn\" state=");
    assert!(line.contains("abandoned") && line.contains("the host stopped"), "{line}");
    assert_eq!(full.host.ended().code, Some(3));
}
