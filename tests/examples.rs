//! Guests that are written for spin-sdk run here without changes, over HTTP/1.1 and HTTP/2, and can add tasks.

use bytes::Bytes;
use epilogue::testing::{RequestRecord, ResponseOutcome, TaskState, TestHost};
use futures::SinkExt as _;
use futures::channel::mpsc;
use futures::stream::StreamExt as _;
use http::{Request, Response, StatusCode};
use http_body_util::{Collected, Empty, Full, StreamBody};
use hyper::body::Frame;

use crate::client::{BOTH, Protocol, Reader, exchange, send, talk};
use crate::guests;
use crate::upstream::Upstream;

#[test]
fn a_component_that_knows_nothing_of_epilogue_serves() {
    let file = std::fs::read(guests::HELLO).unwrap();
    let needle = b"epilogue:background";
    assert!(!file.windows(needle.len()).any(|window| window == needle), "the guest should not use the contract");

    let host = TestHost::start(guests::HELLO);
    for protocol in BOTH {
        let response = exchange(host.address(), protocol, Request::get("/").body(Empty::new()).unwrap());
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.into_body().to_bytes(), "Hello, world!");
        let record = host.next_record();
        assert_eq!(record.outcome, ResponseOutcome::Delivered);
        assert!(record.tasks.is_empty() && record.errors.is_empty());
    }
}

/// Composed, the same guest is in `stock.rs`.
#[test]
fn a_guest_without_the_sdk_leaves_out_the_stop_signal() {
    let file = std::fs::read(guests::WITHOUT_SDK).unwrap();
    let imports = |interface: &str| memchr::memmem::find(&file, interface.as_bytes()).is_some();
    assert!(imports("epilogue:background/queue@") && imports("epilogue:background/context@"));
    assert!(!imports("epilogue:background/stop-signal@"));

    let host = TestHost::start(guests::WITHOUT_SDK);
    let exchange = host.get("/");
    assert_eq!(exchange.text(), "cancelled: true");
    assert_eq!(states(&exchange.drained()), [TaskState::Failed, TaskState::Succeeded, TaskState::Cancelled]);
    assert_eq!(host.stdout(), "hello world, this is task 2\ntorn down, ResponseOutcome::Delivered\n");
}

#[test]
fn an_axum_router_reads_and_answers_json() {
    let host = TestHost::start(guests::ROUTER);
    let user = r#"{"name":"Ada"}"#;
    let request =
        |content_type| Request::post("/users").header("content-type", content_type).body(Full::from(user)).unwrap();
    for protocol in BOTH {
        let created = exchange(host.address(), protocol, request("application/json"));
        assert_eq!(created.status(), StatusCode::CREATED);
        assert_eq!(created.headers()["content-type"], "application/json");
        assert_eq!(created.into_body().to_bytes(), r#"{"id":7,"name":"Ada"}"#);
        assert_eq!(states(&host.next_record()), [TaskState::Succeeded]);

        let refused = exchange(host.address(), protocol, request("text/plain"));
        assert_eq!(refused.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert_eq!(states(&host.next_record()), []);
    }
    assert_eq!(host.stdout(), "welcome, Ada, you are number 7\n".repeat(2));

    assert_eq!(host.get("/users/9").text(), r#"{"id":9,"name":"user 9"}"#);
    assert_eq!(host.get("/nowhere").response().status(), StatusCode::NOT_FOUND);
}

#[test]
fn a_body_is_echoed_while_it_arrives() {
    let host = TestHost::start(guests::STREAMING);
    for protocol in BOTH {
        let (mut client, body) = mpsc::channel::<Bytes>(0);
        let body = StreamBody::new(body.map(|data| Ok::<_, std::convert::Infallible>(Frame::data(data))));
        let rest = talk(async {
            let response = send(host.address(), protocol, Request::post("/").body(body).unwrap()).await;
            let mut reader = Reader::new(response.into_body());
            // Each piece comes back before the next is sent.
            reader.until("begin\n").await;
            for piece in ["one, ", "two, ", "three"] {
                client.send(piece.into()).await.unwrap();
                reader.until(piece).await;
            }
            drop(client);
            reader.rest().await
        });
        assert_eq!(rest, "end\n");
        let record = host.next_record();
        assert_eq!(record.outcome, ResponseOutcome::Delivered);
        assert_eq!(states(&record), [TaskState::Succeeded]);
    }
    assert_eq!(host.stdout(), "echoed 15 bytes\n".repeat(2));
}

#[test]
fn events_arrive_one_by_one_for_as_long_as_somebody_listens() {
    let host = TestHost::start(guests::EVENTS);
    for protocol in BOTH {
        talk(async {
            // The stream has no end: what is read of it was sent before the next part was there.
            let response = send(host.address(), protocol, Request::get("/").body(Empty::new()).unwrap()).await;
            assert_eq!(response.headers()["content-type"], "text/event-stream");
            let mut reader = Reader::new(response.into_body());
            reader.until("event: tick\ndata: 1\n\n").await;
            reader.until("event: tick\ndata: 3\n\n").await;
        });
        let record = host.next_record();
        assert_eq!(record.outcome, ResponseOutcome::ClientGone, "{protocol:?}");
        assert_eq!(states(&record), [TaskState::Succeeded]);
    }
    assert_eq!(host.stdout(), "the events ended: Some(ResponseOutcome::ClientGone)\n".repeat(2));
}

#[test]
fn events_come_to_an_end_of_their_own() {
    let host = TestHost::start(guests::EVENTS);
    let exchange = host.get("/?count=2");
    assert_eq!(exchange.text(), "event: tick\ndata: 1\n\nevent: tick\ndata: 2\n\n");
    assert_eq!(states(&exchange.drained()), [TaskState::Succeeded]);
    assert_eq!(host.stdout(), "the events ended: Some(ResponseOutcome::Delivered)\n");
}

#[test]
fn outbound_requests_run_at_the_same_time() {
    let upstream = Upstream::start();
    let host = TestHost::component(guests::OUTBOUND).allow(&upstream.url()).start();
    let exchange = host.get(&format!("/both?{0}/one&{0}/two", upstream.url()));
    // Both are on their way before either has its answer.
    let (first, second) = (upstream.call(), upstream.call());
    let mut lines = [first.line.clone(), second.line.clone()];
    lines.sort();
    assert_eq!(lines, ["GET /one HTTP/1.1", "GET /two HTTP/1.1"]);
    for call in [second, first] {
        let answer = call.line.clone();
        call.answer(&answer);
    }
    assert_eq!(exchange.text(), "GET /one HTTP/1.1, GET /two HTTP/1.1");
    assert_eq!(states(&exchange.drained()), [TaskState::Succeeded]);
    assert_eq!(host.stdout(), "answers: GET /one HTTP/1.1, GET /two HTTP/1.1\n");
}

#[test]
fn grpc_answers_once_with_its_status_in_the_trailers() {
    let host = TestHost::start(guests::GRPC);
    let response = call(&host, "SayHello", "Ada");
    assert_eq!(response.headers()["content-type"], "application/grpc");
    let trailers = response.body().trailers().expect("there should be trailers");
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(response.into_body().to_bytes(), message("Hello, Ada!"));
    assert_eq!(states(&host.next_record()), [TaskState::Succeeded]);
    assert_eq!(host.stdout(), "greeted Ada\n");
}

#[test]
fn grpc_answers_with_a_stream() {
    let host = TestHost::start(guests::GRPC);
    let response = call(&host, "SayManyHellos", "Ada");
    assert_eq!(response.body().trailers().expect("there should be trailers")["grpc-status"], "0");
    let replies = ["Hello, Ada!", "Hallo, Ada!", "Hola, Ada!"].map(message).concat();
    assert_eq!(response.into_body().to_bytes(), replies);
    assert_eq!(states(&host.next_record()), [TaskState::Succeeded]);
}

#[test]
fn grpc_errors_reach_the_client() {
    let host = TestHost::start(guests::GRPC);
    for (method, name, status) in [("SayHello", "", "3"), ("SayNothing", "Ada", "12")] {
        let response = call(&host, method, name);
        // An answer without a body has its trailers in the place of headers.
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["grpc-status"], status);
        assert_eq!(states(&host.next_record()), []);
    }
}

fn call(host: &TestHost, method: &str, name: &str) -> Response<Collected<Bytes>> {
    let request = Request::post(format!("/greeter.Greeter/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::from(message(name)))
        .unwrap();
    exchange(host.address(), Protocol::Http2, request)
}

/// One gRPC message, uncompressed, of a protobuf message whose first field is this text.
fn message(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).expect("the text should be short");
    let field = if text.is_empty() { vec![] } else { [&[0x0a, length], text.as_bytes()].concat() };
    [&[0, 0, 0, 0, field.len() as u8], field.as_slice()].concat()
}

fn states(record: &RequestRecord) -> Vec<TaskState> {
    record.tasks.iter().map(|task| task.state).collect()
}

#[test]
fn the_readmes_guest_does_what_the_readme_says() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let guest = std::fs::read_to_string(root.join("tests/guests/examples/readme.rs")).unwrap();
    let (_, code) = guest.split_once("\n\n").unwrap();
    assert!(std::fs::read_to_string(root.join("README.md")).unwrap().contains(code), "the README shows another guest");

    let host = TestHost::start(guests::README);
    let exchange = host.post("/send-notification/a@b.c", "");
    assert_eq!(exchange.text(), "Notification sent");
    exchange.drained();
    assert_eq!(host.stdout(), "message to a@b.c\n");
}
