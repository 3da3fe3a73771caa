//! A task knows its request, and the request's position in a distributed trace (S16).

use bytes::Bytes;
use epilogue::testing::TestHost;
use http::Request;

use crate::guests;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// The words of each line that the guest printed: the lines of tasks, and then those of teardowns.
fn lines(host: &TestHost) -> [Vec<Vec<String>>; 2] {
    let words = |line: &str| line.split(' ').map(str::to_owned).collect();
    let (torn_down, tasks) = host.stdout().lines().map(words).partition(|line: &Vec<_>| line[2] == "torn-down");
    [tasks, torn_down]
}

#[test]
fn s16_tasks_know_their_request_and_its_trace() {
    let host = TestHost::start(guests::IDENTITY);
    let request = Request::get("/").header("traceparent", PARENT).header("tracestate", "vendor=1");
    let exchange = host.send(request.body(Bytes::new()).unwrap());
    let record = exchange.drained();

    assert_eq!(record.trace_id, &PARENT[3..35]);
    let [tasks, torn_down] = lines(&host);
    assert_eq!(tasks.len(), 2);
    for (line, task) in tasks.iter().zip(1..) {
        assert_eq!(line[..3], [record.id.as_str(), PARENT, "vendor=1"]);
        assert_eq!(line[3], format!("{}:{task}", record.id));
    }
    // So do the handler and the teardown.
    assert_eq!(exchange.text(), format!("{} {PARENT}", record.id));
    assert_eq!(torn_down, [[record.id.as_str(), PARENT, "torn-down"]]);
}

#[test]
fn s16_a_request_without_a_trace_gets_one_of_its_own() {
    let host = TestHost::start(guests::IDENTITY);
    for _ in 0..2 {
        // Not by `host.get`, which sends a trace along.
        crate::socket::Socket::get(&host, "/").head();
        let record = host.next_record();
        let [said, _] = lines(&host);
        let [.., first, second] = said.as_slice() else { panic!("{said:?}") };
        assert_eq!(first[0], record.id);
        assert_eq!(first[1], second[1], "the tasks of a request are in one trace");
        assert_eq!(first[1][3..35], record.trace_id);
        assert_eq!(first[2], "none");
    }
    let [said, _] = lines(&host);
    assert_ne!(said[0][0], said[2][0], "another request has another id");
    assert_ne!(said[0][1], said[2][1], "another request is in another trace");
}

#[test]
fn s16_a_request_with_two_traces_gets_one_of_its_own() {
    let host = TestHost::start(guests::IDENTITY);
    let mut client = crate::socket::Socket::connect(&host);
    client.write(&format!("GET / HTTP/1.1\r\nhost: test\r\ntraceparent: {PARENT}\r\ntraceparent: {PARENT}\r\n\r\n"));
    client.head();
    let record = host.next_record();
    assert_ne!(record.trace_id, PARENT[3..35]);
    let [tasks, _] = lines(&host);
    assert_eq!(tasks[0][1][3..35], record.trace_id);
}
