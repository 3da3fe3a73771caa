//! Requests that a client sends before it has the response to the previous request.

use epilogue::testing::{ResponseOutcome, TestHost};

use super::assert_serves;
use crate::durable::only_in_process;
use crate::guests;
use crate::sent::{BUFFERS, SIZE, now};
use crate::socket::Socket;

#[test]
fn s2_pipelined_requests_are_answered_in_order_and_each_ones_tasks_come_after_its_own_response() {
    only_in_process!(EarlyStart);
    let host = TestHost::start(guests::BODY);
    let mut client = Socket::connect(&host);
    let get = |size| format!("GET /body?size={size}&fixed=true HTTP/1.1\r\nhost: test\r\n\r\n");
    client.write(&[get(1), get(SIZE), get(2)].concat());

    assert!(client.head().contains("content-length: 1\r\n"));
    client.read(1);
    assert_delivered(&host);
    assert!(client.head().contains(&format!("content-length: {SIZE}\r\n")));
    client.read(SIZE - BUFFERS);
    assert_eq!(host.stdout().lines().count(), 1, "the second response is not sent yet");
    let nearly = now();
    client.read(BUFFERS);
    assert!(client.head().contains("content-length: 2\r\n"));
    client.read(2);
    assert_delivered(&host);
    assert_delivered(&host);

    let stdout = host.stdout();
    let times = stdout.lines().map(|line| line.split(' ').nth(1).unwrap().parse::<u128>().unwrap());
    assert_eq!(times.filter(|time| *time > nearly).count(), 2, "{stdout}");
    assert_serves(&host);
}

fn assert_delivered(host: &TestHost) {
    let record = host.next_record();
    assert_eq!(record.tasks.len(), 1);
    assert!(matches!(record.outcome, ResponseOutcome::Delivered), "{record:?}");
}
