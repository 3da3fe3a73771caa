//! If a client does not get a whole response, the host logs one event with the reason, even if other events are
//! filtered out (S2).

use std::net::SocketAddr;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::client::{BOTH, Protocol, talk, try_send_on};
use crate::guests;
use crate::process::{Process, application, up};
use crate::socket::Socket;

/// Sends a request, and reads as much of the response as there is. Returns whether the response was whole.
fn ask(address: SocketAddr, protocol: Protocol, path: &str) -> bool {
    talk(async {
        let stream = TcpStream::connect(address).await.unwrap();
        let request = Request::get(path).body(Empty::<Bytes>::new()).unwrap();
        match try_send_on(stream, &address.to_string(), protocol, request).await {
            Ok(response) => response.into_body().collect().await.is_ok(),
            Err(_) => false,
        }
    })
}

/// The ID of the request in this line's event.
fn request(line: &str) -> String {
    let event: Value = serde_json::from_str(line).unwrap();
    event["request"].as_str().unwrap().to_owned()
}

#[test]
fn s2_a_response_that_breaks_off_is_told_once_with_its_reason() {
    let cases = [
        ("/broken", "", "no more"),
        ("/panic", "the guest died while it wrote the body: panicked at ", ": on purpose"),
        ("/body?size=11&length=5", "the guest wrote 11 bytes of a body whose content-length is 5", ""),
        ("/body?size=5&length=50", "the guest wrote 5 bytes of a body whose content-length is 50", ""),
    ];
    for protocol in BOTH {
        let app = application(guests::BODY, "");
        let host = Process::start(up(app.path(), ["--quiet", "--log-format", "json"]));
        let mut requests = Vec::new();
        for (path, ..) in cases {
            assert!(!ask(host.address(), protocol, path), "{path} should be broken");
            // The task comes after the response's end.
            requests.push(request(&host.logged_times("epilogue::task", requests.len() + 1)));
        }
        host.signal("TERM");
        let ended = host.ended();
        let events: Vec<Value> = ended.stderr.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        for ((path, start, end), request) in cases.iter().zip(requests) {
            let told = |event: &&Value| event["target"] == "epilogue::request" && event["request"] == request.as_str();
            let told: Vec<_> = events.iter().filter(told).collect();
            assert_eq!(told.len(), 1, "{path}: {told:?}");
            assert_eq!((&told[0]["level"], &told[0]["component"]), (&"ERROR".into(), &"app".into()), "{path}");
            assert_eq!(told[0]["message"], "the response failed", "{path}");
            let reason = told[0]["error"].as_str().unwrap();
            assert!(reason.starts_with(start) && reason.ends_with(end), "{path}: {reason}");
        }
    }
}

#[test]
fn s7_a_client_that_leaves_is_nobody_s_fault() {
    let app = application(guests::BODY, "");
    let host = Process::start(up(app.path(), ["--log-format", "json"]));
    let mut client = Socket::connect_to(host.address());
    client.request("GET", "/body?size=100000000");
    client.head();
    client.reset();
    host.logged("epilogue::task");
    assert!(ask(host.address(), Protocol::Http1, "/body?size=5"));
    host.logged_times("epilogue::task", 2);
    host.signal("TERM");
    let ended = host.ended();
    assert!(!ended.stderr.iter().any(|line| line.contains("epilogue::request")), "{:?}", ended.stderr);
}
