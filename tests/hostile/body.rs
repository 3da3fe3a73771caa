//! A guest that misbehaves while it writes the body: the client sees that the body is broken, and the tasks run.

use epilogue::testing::{RequestRecord, ResponseOutcome, TestHost};

use super::{Hostile, STUCK, TRAPS};
use crate::durable::only_in_process;
use crate::guests;
use crate::socket::Socket;
use crate::support::ends;

fn failure(record: &RequestRecord) -> &str {
    assert_eq!(ends(record), ["after succeeded"]);
    match &record.outcome {
        ResponseOutcome::ResponseFailed(reason) => reason,
        other => panic!("the response should have failed: {other:?}"),
    }
}

#[test]
fn s14_a_body_that_traps_is_broken() {
    let hostile = Hostile::with(|host| host);
    for what in TRAPS {
        let record = hostile.misbehave(what, "body");
        assert!(failure(&record).starts_with("the guest died while it wrote the body: "), "{what}: {record:?}");
    }
}

#[test]
fn s10_a_body_that_never_ends_is_broken() {
    let hostile = Hostile::start("response-timeout");
    for what in STUCK {
        let record = hostile.misbehave(what, "body");
        assert_eq!(failure(&record), "the guest wrote nothing more of the body for 500ms", "{what}");
    }
    let mut client = Socket::get(&hostile.host, "/?do=wait&at=body");
    let response = client.rest();
    assert!(response.contains("some") && !response.ends_with("0\r\n\r\n"), "it should look broken: {response}");
}

#[test]
fn s10_a_body_is_told_before_it_is_stopped() {
    only_in_process!(EarlyStart);
    let hostile = Hostile::with(|host| host.setting("response-timeout", "5s"));
    let record = hostile.misbehave("stop", "body");
    assert!(matches!(record.outcome, ResponseOutcome::Delivered), "{:?}", record.outcome);
    assert!(hostile.host.stdout().starts_with("stop: StopReason::Deadline\nafter\n"), "{}", hostile.host.stdout());
}

#[test]
fn s10_a_body_that_waits_for_a_slow_upload_is_not_the_guests_fault() {
    let host = TestHost::component(guests::STREAMING).setting("response-timeout", "500ms").start();
    let mut client = Socket::post(&host, "/", 8);
    client.write("some");
    client.head();
    // Meanwhile other guests are stopped for writing nothing, one after the other.
    let hostile = Hostile::with(|host| host.setting("response-timeout", "500ms"));
    for _ in 0..3 {
        failure(&hostile.misbehave("wait", "body"));
    }
    client.write("more");
    assert!(client.rest().contains("end\n"));
    assert!(matches!(host.next_record().outcome, ResponseOutcome::Delivered));
}

#[test]
fn s10_a_body_whose_client_does_not_read_is_not_the_guests_fault() {
    let length = 64 << 20;
    let host = TestHost::component(guests::BODY).setting("response-timeout", "1s").start();
    let mut client = Socket::get(&host, &format!("/body?size={length}&fixed=true"));
    client.head();
    // Meanwhile other guests are stopped for the same reason, one after the other.
    let hostile = Hostile::with(|host| host.setting("response-timeout", "1s"));
    for _ in 0..3 {
        failure(&hostile.misbehave("wait", "body"));
    }
    client.read(length);
    assert!(matches!(host.next_record().outcome, ResponseOutcome::Delivered));
}
