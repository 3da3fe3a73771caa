//! What a guest sees of its request's headers: one host, one `cookie`, and what Spin shows it.

use bytes::Bytes;
use epilogue::testing::TestHost;
use http::{Request, StatusCode};
use http_body_util::{Empty, Full};
use serde_json::{Value, json};

use crate::client::{BOTH, Protocol, exchange};
use crate::guests;
use crate::socket::Socket;

/// Sends a request that is written by hand. Returns the status, and the request as the guest `mirror` saw it.
fn ask(host: &TestHost, request: &str) -> (u16, Value) {
    let mut client = Socket::connect(host);
    client.write(&request.replacen("\r\n", "\r\nconnection: close\r\n", 1));
    let answer = client.rest();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{request:?}: {answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    // It may be one chunk.
    let object = body.find('{').zip(body.rfind('}')).map_or("null", |(start, end)| &body[start..=end]);
    (status, serde_json::from_str(object).unwrap())
}

/// Checks that the guest saw this host in the URI's authority, in the `host` header and in `spin-full-url`.
fn assert_for(seen: &Value, host: &str) {
    assert_eq!(seen["authority"], host, "{seen}");
    assert_eq!(seen["headers"]["host"], json!([host]), "{seen}");
    assert_eq!(seen["headers"]["spin-full-url"], json!([format!("http://{host}/x?y")]), "{seen}");
}

#[test]
fn a_request_is_for_one_host() {
    let host = TestHost::start(guests::MIRROR);
    let own = host.address().to_string();
    for (request, expected) in [
        ("GET /x?y HTTP/1.1\r\nhost: a.example\r\n\r\n", "a.example"),
        ("GET /x?y HTTP/1.1\r\nhost: a.example:81\r\n\r\n", "a.example:81"),
        ("GET http://b.example:81/x?y HTTP/1.1\r\nhost: a.example\r\n\r\n", "b.example:81"),
        ("GET /x?y HTTP/1.0\r\nhost: a.example\r\n\r\n", "a.example"),
        ("GET /x?y HTTP/1.0\r\n\r\n", &own),
    ] {
        let (status, seen) = ask(&host, request);
        assert_eq!(status, 200, "{request:?}");
        assert_for(&seen, expected);
    }
    for headers in ["", "host:\r\n", "host: a\r\nhost: b\r\n", "host: a/b?c#d\r\n", "host: u@a\r\n", "host: a:b\r\n"] {
        let (status, _) = ask(&host, &format!("GET /x?y HTTP/1.1\r\n{headers}\r\n"));
        assert_eq!(status, 400, "{headers:?}");
    }
}

#[test]
fn a_request_over_http2_is_for_one_host() {
    let host = TestHost::start(guests::MIRROR);
    let ask = |own: Option<&str>| {
        let mut request = Request::get("http://a.example/x?y");
        if let Some(own) = own {
            request = request.header("host", own);
        }
        exchange(host.address(), Protocol::Http2, request.body(Empty::new()).unwrap())
    };
    for own in [None, Some("a.example"), Some("A.Example:80")] {
        assert_for(&serde_json::from_slice(&ask(own).into_body().to_bytes()).unwrap(), "a.example");
    }
    assert_eq!(ask(Some("evil.example")).status(), StatusCode::BAD_REQUEST);
}

#[test]
fn cookies_that_came_apart_are_one_header() {
    let host = TestHost::start(guests::MIRROR);
    for protocol in BOTH {
        let mut request = Request::get("/");
        for (name, value) in [("cookie", "a=1"), ("x-own", "1"), ("cookie", "b=2"), ("x-own", "2"), ("cookie", "c=3")] {
            request = request.header(name, value);
        }
        let response = exchange(host.address(), protocol, request.body(Empty::new()).unwrap());
        let headers = serde_json::from_slice::<Value>(&response.into_body().to_bytes()).unwrap()["headers"].take();
        assert_eq!(headers["cookie"], json!(["a=1; b=2; c=3"]), "{protocol:?}");
        assert_eq!(headers["x-own"], json!(["1", "2"]), "{protocol:?}");
    }
}

#[test]
fn a_guest_sees_the_headers_that_spin_shows_it() {
    let host = TestHost::start(guests::MIRROR);
    let (_, seen) = ask(
        &host,
        "POST / HTTP/1.1\r\nhost: a.example\r\nconnection: keep-alive\r\nkeep-alive: timeout=5\r\n\
         proxy-connection: close\r\nupgrade: websocket\r\nproxy-authorization: Basic x\r\nhttp2-settings: x\r\n\
         te: trailers\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    );
    let headers = &seen["headers"];
    for (name, expected) in [
        ("host", "a.example"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("upgrade", "websocket"),
        ("proxy-authorization", "Basic x"),
        ("http2-settings", "x"),
        ("te", "trailers"),
    ] {
        assert_eq!(headers[name], json!([expected]), "{name} in {headers}");
    }
    // Spin withholds the first, and this host the second as well: it has decoded the body.
    for name in ["connection", "transfer-encoding"] {
        assert_eq!(headers[name], Value::Null, "{headers}");
    }
}

#[test]
fn what_a_guest_sees_it_can_neither_set_nor_send_on() {
    let host = TestHost::start(guests::REFLECT);
    let hidden = ["connection", "host", "http2-settings", "keep-alive", "proxy-connection", "upgrade"];
    let mut client = Socket::connect(&host);
    let sent: String = hidden.iter().map(|name| format!("{name}: 1\r\n")).collect();
    client.write(&format!("GET / HTTP/1.1\r\n{sent}x-own: 1\r\n\r\n"));
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("x-own: 1\r\n"), "{head}");
    for name in hidden {
        assert!(!head.contains(&format!("{name}: ")), "{head}");
    }
    for protocol in BOTH {
        let request = Request::get("/set").header("keep-alive", "1").body(Full::new(Bytes::new())).unwrap();
        assert_eq!(exchange(host.address(), protocol, request).status(), StatusCode::OK, "it could set one");
    }
}
