//! Sent: no task starts before the response's last byte is out (S2, S8). The exact moment is tested in `host/src/sent.rs`,
//! byte by byte; here the whole host is.

use std::io::Write as _;

use epilogue::testing::{RequestRecord, ResponseOutcome, TaskState, TestHost};

use crate::client;
use crate::guests;

const MIB: usize = 1 << 20;
const SIZE: usize = 64 * MIB;
/// More than Linux buffers of a connection, on both ends together.
const BUFFERS: usize = 16 * MIB;

/// When the task ran.
fn task_time(host: &TestHost) -> u128 {
    let stdout = host.stdout();
    let line = stdout.lines().find(|line| line.starts_with("after ")).expect("the task should have run");
    line.split(' ').nth(1).and_then(|time| time.parse().ok()).expect("the task should print a time")
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
    for fixed in [true, false] {
        let host = TestHost::start(guests::BODY);
        let mut stream = client::connect(host.address());
        client::request(&mut stream, "GET", &format!("/body?size={SIZE}&fixed={fixed}"));

        client::read(&mut stream, SIZE - BUFFERS);
        let nearly = client::now();
        client::read(&mut stream, BUFFERS);

        assert_delivered(&host.next_record());
        assert!(task_time(&host) > nearly, "the task ran while the host still had bytes to send");
    }
}

#[test]
fn s2_a_task_waits_for_a_slow_http2_client() {
    for fixed in [true, false] {
        let host = TestHost::start(guests::BODY);
        let mut nearly = 0;
        let size = 8 * MIB;
        let path = format!("/body?size={size}&fixed={fixed}");
        // The client grants 64 KiB at a time, so the host cannot have sent what lies a mebibyte ahead.
        let (_, count) = client::http2(host.address(), "GET", &path, size - MIB, || nearly = client::now());

        assert_eq!(count, size);
        assert_delivered(&host.next_record());
        assert!(task_time(&host) > nearly, "the task ran while the host still had bytes to send");
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
        let mut stream = client::connect(host.address());
        client::request(&mut stream, method, path);
        client::read_head(&mut stream);
        assert_delivered(&host.next_record());

        let (_, count) = client::http2(host.address(), method, path, 1, || {});
        assert_eq!(count, 0, "{method} {path}");
        assert_delivered(&host.next_record());
    }
}

#[test]
fn s2_a_connection_is_used_again_after_each_kind_of_response() {
    let host = TestHost::start(guests::BODY);
    let mut stream = client::connect(host.address());
    for (method, path, body) in [
        ("HEAD", "/body?size=5&fixed=true", 0),
        ("GET", "/body?size=5&fixed=true", 5),
        ("GET", "/body?size=0&status=204", 0),
        ("GET", "/body?size=5&fixed=true", 5),
    ] {
        client::request(&mut stream, method, path);
        client::read_head(&mut stream);
        client::read(&mut stream, body);
        assert_delivered(&host.next_record());
    }
}

#[test]
fn s8_tasks_start_after_the_streams_end() {
    let host = TestHost::start(guests::BODY);
    let mut stream = client::connect(host.address());
    write!(stream, "POST /echo HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
    for round in 0..3 {
        write!(stream, "4\r\nping\r\n").unwrap();
        if round == 0 {
            client::read_head(&mut stream);
        }
        client::read(&mut stream, "4\r\nping\r\n".len());
        assert_eq!(host.stdout(), "", "the stream has not ended");
    }
    write!(stream, "0\r\n\r\n").unwrap();
    client::read(&mut stream, "0\r\n\r\n".len());
    assert_delivered(&host.next_record());
}

#[test]
fn s2_a_body_that_ends_with_an_error_lets_the_tasks_run_and_says_so() {
    let host = TestHost::start(guests::BODY);
    let mut stream = client::connect(host.address());
    client::request(&mut stream, "GET", "/broken");
    let record = host.next_record();
    assert_ran(&record);
    assert!(matches!(record.outcome, ResponseOutcome::ResponseFailed(_)), "{:?}", record.outcome);
    assert!(host.stdout().contains("ResponseFailed"), "the task is told as well");
}

#[test]
fn s2_a_guest_that_dies_in_its_body_never_makes_it_look_complete() {
    let host = TestHost::start(guests::BODY);
    let mut stream = client::connect(host.address());
    client::request(&mut stream, "GET", "/panic");
    client::read_head(&mut stream);
    let mut rest = String::new();
    // The connection may be reset, which is as good a way to say that the response is not whole.
    _ = std::io::Read::read_to_string(&mut stream, &mut rest);
    assert!(!rest.contains("0\r\n\r\n"), "{rest:?}");

    let record = host.next_record();
    assert_ran(&record);
    assert!(matches!(record.outcome, ResponseOutcome::ResponseFailed(_)), "{:?}", record.outcome);
}
