//! Bodies that do not match their headers. This is a mistake of the client. The log shows it neither as a mistake of
//! the handler nor as a failure.

use epilogue::testing::TestHost;

use super::assert_serves;
use crate::guests;
use crate::process::{Process, application, up};
use crate::socket::Socket;
use crate::support::ends;

const CASES: [(&str, u16); 7] = [
    ("transfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n", 400),
    ("transfer-encoding: chunked\r\n\r\nffffffffffffffff0\r\nabc\r\n0\r\n\r\n", 400),
    ("transfer-encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", 400),
    ("transfer-encoding: chunked\r\n\r\n6\r\nabcdef\r\n0\r\n\r\n", 413),
    ("transfer-encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 501),
    ("content-length: 9223372036854775808\r\n\r\nabc", 413),
    ("content-length: 18446744073709551613\r\n\r\nabc", 413),
];

#[test]
fn a_malformed_body_is_answered_as_the_clients_fault() {
    let app = application(guests::COLLECT, "");
    let host = Process::start(up(app.path(), ["--max-body-size", "5B"]));
    for (headers, status) in CASES {
        let mut client = Socket::connect_to(host.address());
        client.write(&format!("POST / HTTP/1.1\r\nhost: test\r\n{headers}"));
        let head = client.head();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{headers:?}: {head}");
    }
    host.signal("TERM");
    let ended = host.ended();
    let blames = |line: &&String| line.contains("ERROR") || line.contains("epilogue::request");
    assert_eq!(ended.stderr.iter().find(blames), None);
}

#[test]
fn without_a_limit_a_length_that_nothing_can_have_is_refused() {
    let host = TestHost::start(guests::BODY);
    let mut client = Socket::connect(&host);
    client.write("POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 9223372036854775808\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 413 "));
    assert_serves(&host);
}

#[test]
fn s6_tasks_of_a_handler_that_failed_for_its_body_are_discarded() {
    let host = TestHost::start(guests::COLLECT);
    let mut client = Socket::connect(&host);
    client.write("POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n");
    assert!(client.head().starts_with("HTTP/1.1 400 "));
    assert_eq!(ends(&host.next_record()), ["after discarded"]);
    assert_eq!(host.post("/", "abc").text(), "3 bytes");
}

#[test]
fn a_slow_body_that_fails_the_handler_is_answered_408() {
    let host = TestHost::component(guests::COLLECT).setting("body-timeout", "1s").start();
    let mut client = Socket::post(&host, "/", 100);
    client.write("some");
    assert!(client.head().starts_with("HTTP/1.1 408 "));
    assert_eq!(host.post("/", "abc").text(), "3 bytes");
}
