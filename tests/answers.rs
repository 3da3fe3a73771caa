//! Responses that must not have a body, and responses that HTTP does not allow, over HTTP/1.1 and HTTP/2.

use epilogue::testing::{ResponseOutcome, TestHost};
use http::{Method, Request};
use http_body_util::Empty;

use crate::client::{BOTH, Protocol, exchange};
use crate::guests;
use crate::process::{Process, application, up};
use crate::socket::Socket;
use crate::support::ends;

#[test]
fn a_response_without_a_body_announces_none_and_its_tasks_run() {
    let host = TestHost::start(guests::BODY);
    for protocol in BOTH {
        for (method, query, status, length) in [
            (Method::GET, "size=5&fixed=true&status=204", 204, None),
            (Method::GET, "size=200000&fixed=true&status=204", 204, None),
            (Method::GET, "size=200000&status=204", 204, None),
            (Method::GET, "size=0&fixed=true&status=204", 204, None),
            (Method::HEAD, "size=5&fixed=true&status=204", 204, None),
            (Method::GET, "size=5&fixed=true&status=205", 205, Some("0")),
            (Method::GET, "size=5&status=205", 205, Some("0")),
            (Method::GET, "size=5&fixed=true&status=304", 304, None),
            (Method::GET, "size=5&status=304", 304, None),
            (Method::HEAD, "size=5&fixed=true&status=304", 304, None),
            // What the answer to GET would have been is announced.
            (Method::HEAD, "size=5&fixed=true", 200, Some("5")),
        ] {
            let request = Request::builder().method(&method).uri(format!("/body?{query}"));
            let response = exchange(host.address(), protocol, request.body(Empty::new()).unwrap());
            let announced = response.headers().get("content-length").map(|length| length.to_str().unwrap());
            let what = format!("{protocol:?} {method} {query}");
            assert_eq!((response.status().as_u16(), announced), (status, length), "{what}");
            assert!(response.into_body().to_bytes().is_empty(), "{what}");
            let record = host.next_record();
            assert!(matches!(record.outcome, ResponseOutcome::Delivered), "{what}: {record:?}");
            assert_eq!(ends(&record), ["after succeeded"], "{what}");
        }
    }
}

#[test]
fn the_next_response_of_a_connection_is_not_disturbed() {
    let host = TestHost::start(guests::BODY);
    let mut client = Socket::connect(&host);
    for status in [204, 205, 304] {
        client.request("GET", &format!("/body?size=5&fixed=true&status={status}"));
        let head = client.head();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
    client.request("GET", "/body?size=5&fixed=true");
    assert!(client.head().starts_with("HTTP/1.1 200 OK\r\n"));
}

#[test]
fn a_status_that_is_not_final_is_a_failure_of_the_handler() {
    let host = TestHost::start(guests::BODY);
    for protocol in BOTH {
        for status in [100, 101, 103] {
            let request = Request::get(format!("/body?size=0&status={status}")).body(Empty::new()).unwrap();
            assert_eq!(exchange(host.address(), protocol, request).status(), 500, "{protocol:?} {status}");
            let record = host.next_record();
            let failed = matches!(&record.outcome, ResponseOutcome::HandlerFailed(why) if why.contains("status 10"));
            assert!(failed, "{record:?}");
            assert_eq!(ends(&record), ["after discarded"]);
        }
    }
}

#[test]
fn the_log_says_what_a_handler_may_not_answer() {
    let app = application(guests::BODY, "");
    let host = Process::start(up(app.path(), ["--quiet"]));
    for (path, line) in [
        (
            "/body?size=0&status=101",
            "the handler answered with status 101, but a response needs a status of 200 or more",
        ),
        (
            "/body?size=5&fixed=true&status=204",
            "the body of the response was dropped, because a response with this status has no body",
        ),
    ] {
        exchange(host.address(), Protocol::Http1, Request::get(path).body(Empty::new()).unwrap());
        host.logged(line);
    }
}
