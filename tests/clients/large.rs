//! Requests that are larger than they may be.

use bytes::Bytes;
use epilogue::testing::TestHost;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};

use super::assert_serves;
use crate::client::{BOTH, exchange};
use crate::guests;
use crate::socket::Socket;

#[test]
fn s11_too_large_a_head_is_answered_431() {
    let host = TestHost::component(guests::BODY).setting("max-header-size", "32KiB").start();
    for (size, status) in [(20 << 10, StatusCode::OK), (40 << 10, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)] {
        for protocol in BOTH {
            let request = Request::get("/body?size=5").header("x-large", "a".repeat(size)).body(Empty::new()).unwrap();
            assert_eq!(exchange(host.address(), protocol, request).status(), status, "{protocol:?}");
        }
    }
    assert_serves(&host);
}

#[test]
fn s11_a_head_that_never_ends_is_answered_431() {
    let host = TestHost::start(guests::BODY);
    for line in ["a: b\r\n", "a"] {
        let mut client = Socket::connect(&host);
        client.try_write(b"GET / HTTP/1.1\r\n");
        client.try_write(line.repeat(64 << 10).as_bytes());
        let answer = client.rest();
        // Bytes that nobody read may break the connection before the answer has come.
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    assert_serves(&host);
}

#[test]
fn s11_too_large_a_body_is_answered_413() {
    let host = TestHost::component(guests::BODY).setting("max-body-size", "1KiB").start();
    for (size, status) in [(1024, StatusCode::OK), (1025, StatusCode::PAYLOAD_TOO_LARGE)] {
        for protocol in BOTH {
            let body = Full::new(Bytes::from("a".repeat(size)));
            let request = Request::post("/echo").header("content-length", size).body(body).unwrap();
            assert_eq!(exchange(host.address(), protocol, request).status(), status, "{protocol:?}");
        }
    }
    assert_serves(&host);
}

#[test]
fn s11_a_body_that_turns_out_too_large_ends_in_an_error_for_the_guest() {
    let host = TestHost::component(guests::STREAMING).setting("max-body-size", "1KiB").start();
    for protocol in BOTH {
        let pieces = std::iter::repeat_n(Bytes::from("a".repeat(512)), 3);
        let body = StreamBody::new(futures::stream::iter(
            pieces.map(|piece| Ok::<_, std::io::Error>(http_body::Frame::data(piece))),
        ));
        let response = exchange(host.address(), protocol, Request::post("/").body(body.boxed_unsync()).unwrap());
        assert_eq!(response.into_body().to_bytes().len(), "begin\n".len() + 1024, "{protocol:?}");
        host.next_record();
        let stdout = host.stdout();
        assert!(stdout.lines().last().is_some_and(|line| line.contains("HttpRequestBodySize(Some(1024))")), "{stdout}");
    }
    assert_eq!(host.post("/", "all").text(), "begin\nallend\n");
}
