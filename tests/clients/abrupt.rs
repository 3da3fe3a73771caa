//! Clients that end a connection in the middle of a request or a response. Their tasks run, and the instance serves
//! further requests (S7).

use epilogue::testing::{ResponseOutcome, TestHost};

use super::{assert_client_gone, assert_serves};
use crate::guests;
use crate::sent::SIZE;
use crate::socket::Socket;

#[test]
fn s7_a_client_that_breaks_off_its_request_cancels_no_task() {
    for reset in [false, true] {
        let host = TestHost::component(guests::BODY).threads(1).start();
        let mut client = Socket::post(&host, "/echo", 100);
        client.write("some");
        client.head();
        client.read("some".len());
        if reset {
            client.reset()
        } else {
            drop(client)
        }

        let record = host.next_record();
        assert_eq!(record.tasks[0].state.as_str(), "succeeded", "{record:?}");
        assert!(!matches!(record.outcome, ResponseOutcome::Delivered), "{record:?}");
        assert_serves(&host);
    }
}

#[test]
fn s7_a_client_that_breaks_the_connection_amid_the_response_cancels_no_task() {
    let host = TestHost::component(guests::BODY).threads(1).start();
    let mut client = Socket::get(&host, &format!("/body?size={SIZE}"));
    client.read(1000);
    client.reset();
    assert_client_gone(&host.next_record());
    assert_serves(&host);
}

#[test]
fn s7_a_client_that_closes_its_sending_side_counts_as_one_that_left() {
    let host = TestHost::component(guests::BODY).threads(1).start();
    let mut client = Socket::get(&host, &format!("/body?size={SIZE}"));
    client.head();
    client.finish();
    client.rest();
    assert_client_gone(&host.next_record());
    assert_serves(&host);
}
