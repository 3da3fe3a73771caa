//! Connections on which nothing happens.

use epilogue::testing::TestHost;

use super::assert_serves;
use super::frames::{END_HEADERS, END_STREAM, HEADERS, PREFACE, frame, get, goaway};
use crate::gate::Gate;
use crate::guests;
use crate::socket::Socket;

#[test]
fn an_idle_connection_is_closed() {
    let host = TestHost::component(guests::BODY).setting("idle-timeout", "2s").start();
    let mut client = Socket::get(&host, "/body?size=5&fixed=true").impatient();
    client.head();
    client.read(5);
    assert_eq!(client.rest(), "");

    let mut client = Socket::connect(&host).impatient();
    client.try_write(&[PREFACE, &frame(HEADERS, END_STREAM | END_HEADERS, 1, &get("/body?size=5"))].concat());
    // It is told that this is no error.
    assert_eq!(goaway(&client.remains()), Some(0));
    assert_serves(&host);
}

#[test]
fn a_connection_with_a_request_at_work_is_not_idle() {
    let gate = Gate::new();
    let host = gate.host(guests::GATE).setting("idle-timeout", "1s").threads(1).start();
    let exchange = host.get(&gate.path("handler"));
    let handler = gate.wait();
    // One that begins now is closed when the other has been open for longer.
    for _ in 0..2 {
        assert_eq!(Socket::connect(&host).rest(), "");
    }
    handler.open();
    assert_eq!(exchange.text(), "passed");
}
