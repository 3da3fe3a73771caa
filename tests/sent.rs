//! Sent: no task starts before the response's last byte is out (S2, S8). `host/src/wire/sent/tests.rs` tests the exact moment,
//! byte by byte; here the whole host is.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use epilogue::testing::{RequestRecord, ResponseOutcome, TaskState, TestHost};
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::durable::only_in_process;
use crate::guests;
use crate::socket::Socket;

pub(crate) const MIB: usize = 1 << 20;
pub(crate) const SIZE: usize = 64 * MIB;
/// More bytes than Linux buffers of a connection, on both ends together.
pub(crate) const BUFFERS: usize = 16 * MIB;

/// The time at which the task ran, in microseconds.
pub(crate) fn task_time(stdout: &str) -> u128 {
    let line = stdout.lines().find(|line| line.starts_with("after ")).expect("the task should have run");
    line.split(' ').nth(1).and_then(|time| time.parse().ok()).expect("the task should print a time")
}

/// The time of day in microseconds, as guests see it too.
pub(crate) fn now() -> u128 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_micros()
}

/// Makes a request over HTTP/2, granting 64 KiB at a time, and calls `nearly` when so many bytes of the body have come.
/// Returns how many came.
fn http2(address: SocketAddr, method: &str, path: &str, nearly_at: usize, mut nearly: impl FnMut()) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (mut requests, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(65_535)
            .initial_connection_window_size(65_535)
            .handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let request = Request::builder().method(method).uri(format!("http://{address}{path}"));
        let response = requests.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        let (mut body, mut count) = (response.into_body(), 0);
        while let Some(frame) = body.frame().await {
            let before = count;
            count += frame.unwrap().into_data().map_or(0, |data| data.len());
            if before < nearly_at && count >= nearly_at {
                nearly();
            }
        }
        count
    })
}

fn assert_ran(record: &RequestRecord) {
    let states: Vec<_> = record.tasks.iter().map(|task| task.state).collect();
    assert_eq!(states, [TaskState::Succeeded], "{record:?}");
}

fn assert_delivered(record: &RequestRecord) {
    assert_ran(record);
    assert!(matches!(record.outcome, ResponseOutcome::Delivered), "{:?}", record.outcome);
}

#[test]
fn s2_a_task_waits_for_a_slow_http1_client() {
    only_in_process!(EarlyStart);
    for fixed in [true, false] {
        let host = TestHost::start(guests::BODY);
        let mut client = Socket::get(&host, &format!("/body?size={SIZE}&fixed={fixed}"));

        client.read(SIZE - BUFFERS);
        let nearly = now();
        client.read(BUFFERS);

        assert_delivered(&host.next_record());
        assert!(task_time(&host.stdout()) > nearly, "the task ran while the host still had bytes to send");
    }
}

#[test]
fn s2_a_task_waits_for_a_slow_http2_client() {
    only_in_process!(EarlyStart);
    for fixed in [true, false] {
        let host = TestHost::start(guests::BODY);
        let mut nearly = 0;
        let size = 8 * MIB;
        let path = format!("/body?size={size}&fixed={fixed}");
        // The client grants 64 KiB at a time, so the host cannot have sent what lies a mebibyte ahead.
        let count = http2(host.address(), "GET", &path, size - MIB, || nearly = now());

        assert_eq!(count, size);
        assert_delivered(&host.next_record());
        assert!(task_time(&host.stdout()) > nearly, "the task ran while the host still had bytes to send");
    }
}

#[test]
fn s2_tasks_run_after_responses_without_a_body() {
    let host = TestHost::start(guests::BODY);
    for (method, path) in [
        ("GET", "/body?size=0&fixed=true"),
        ("GET", "/body?size=0"),
        ("GET", "/body?size=0&status=204"),
        ("GET", "/body?size=0&status=304"),
        ("HEAD", "/body?size=5&fixed=true"),
        ("HEAD", "/body?size=5"),
    ] {
        let mut client = Socket::connect(&host);
        client.request(method, path);
        client.head();
        assert_delivered(&host.next_record());

        let count = http2(host.address(), method, path, 1, || {});
        assert_eq!(count, 0, "{method} {path}");
        assert_delivered(&host.next_record());
    }
}

#[test]
fn s2_a_connection_is_used_again_after_each_kind_of_response() {
    let host = TestHost::start(guests::BODY);
    let mut client = Socket::connect(&host);
    for (method, path, body) in [
        ("HEAD", "/body?size=5&fixed=true", 0),
        ("GET", "/body?size=5&fixed=true", 5),
        ("GET", "/body?size=0&status=204", 0),
        ("GET", "/body?size=5&fixed=true", 5),
    ] {
        client.request(method, path);
        client.head();
        client.read(body);
        assert_delivered(&host.next_record());
    }
}

#[test]
fn s8_tasks_start_after_the_streams_end() {
    only_in_process!(EarlyStart);
    let host = TestHost::start(guests::BODY);
    let mut client = Socket::connect(&host);
    client.write("POST /echo HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n");
    for round in 0..3 {
        client.write("4\r\nping\r\n");
        if round == 0 {
            client.head();
        }
        client.read("4\r\nping\r\n".len());
        assert_eq!(host.stdout(), "", "the stream has not ended");
    }
    client.write("0\r\n\r\n");
    client.read("0\r\n\r\n".len());
    assert_delivered(&host.next_record());
}

#[test]
fn s2_a_body_that_ends_with_an_error_lets_the_tasks_run_and_says_so() {
    only_in_process!(EarlyStart);
    let host = TestHost::start(guests::BODY);
    let _client = Socket::get(&host, "/broken");
    let record = host.next_record();
    assert_ran(&record);
    assert!(matches!(record.outcome, ResponseOutcome::ResponseFailed(_)), "{:?}", record.outcome);
    assert!(host.stdout().contains("ResponseFailed"), "the task is told as well");
}

#[test]
fn s2_a_guest_that_dies_in_its_body_never_makes_it_look_complete() {
    let host = TestHost::start(guests::BODY);
    let mut client = Socket::get(&host, "/panic");
    client.head();
    // Whether the connection is closed or reset, the response is seen not to be whole.
    let rest = client.rest();
    assert!(!rest.contains("0\r\n\r\n"), "{rest:?}");

    let record = host.next_record();
    assert_ran(&record);
    assert!(matches!(record.outcome, ResponseOutcome::ResponseFailed(_)), "{:?}", record.outcome);
}
