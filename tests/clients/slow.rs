//! Requests that arrive so slowly that they may never be complete.

use std::iter::repeat_n;

use epilogue::testing::TestHost;

use super::assert_serves;
use super::frames::{HEADERS, PREFACE, frame};
use crate::guests;
use crate::socket::Socket;

#[test]
fn slow_headers_are_not_waited_for() {
    let host = TestHost::component(guests::BODY).setting("idle-timeout", "1s").start();
    let mut client = Socket::connect(&host);
    client.write("GET /body?size=5 HTTP/1.1\r\nx-slow: ");
    assert_serves(&host);
    // A byte every now and then is no excuse. So many take 20 seconds, which is less than the default.
    assert_eq!(client.trickle(repeat_n("a", 1_000)), "");
    assert_serves(&host);
}

#[test]
fn slow_headers_of_http2_are_not_waited_for() {
    let host = TestHost::component(guests::BODY).setting("idle-timeout", "1s").start();
    let mut client = Socket::connect(&host).impatient();
    client.try_write(&[PREFACE, &frame(HEADERS, 0, 1, b"\x82")].concat());
    client.remains();
    assert_serves(&host);
}

#[test]
fn a_slow_body_ends_in_an_error_for_the_guest() {
    let host = TestHost::component(guests::STREAMING).setting("body-timeout", "1s").start();
    let mut client = Socket::post(&host, "/", 100);
    client.write("some");
    client.head();

    let record = host.next_record();
    assert_eq!(record.tasks[0].state.as_str(), "succeeded", "{record:?}");
    let stdout = host.stdout();
    assert!(stdout.starts_with("gave up: ") && stdout.contains("ConnectionReadTimeout"), "{stdout}");
    assert_eq!(host.post("/", "all").text(), "begin\nallend\n");
}
