//! A guest that takes all memory it can get: it gets what the setting allows, and the host's own memory stays bounded.

use epilogue::testing::TestHost;

use crate::client::{Protocol, exchange, get};
use crate::guests;
use crate::process::{Process, application, up};
use bytes::Bytes;
use http::Request;
use http_body_util::Empty;

#[test]
fn s11_a_guest_is_told_that_there_is_no_more_memory_and_can_answer() {
    for (setting, expected) in [("128MiB", 100..128), ("16MiB", 8..16)] {
        let host = TestHost::component(guests::EXCESS).setting("memory", setting).start();
        let taken: usize = host.get("/memory").text().parse().unwrap();
        assert!(expected.contains(&taken), "{taken} MiB of {setting}");
    }
}

#[test]
fn s11_what_guests_take_is_given_back() {
    let app = application(guests::HOSTILE, "");
    let host = Process::start(up(app.path(), ["--threads", "1", "--quiet"]));
    let address = host.address();
    assert_eq!(get(address, "/?do=nothing&at=handler"), "done");
    let before = host.memory();
    for what in ["grow", "collect", "recurse"] {
        for _ in 0..8 {
            let request = Request::get(format!("/?do={what}&at=handler")).body(Empty::<Bytes>::new()).unwrap();
            assert_eq!(exchange(address, Protocol::Http1, request).status(), 500);
        }
    }
    // One guest's memory, and what the host keeps behind one guest's handles.
    let growth = host.memory() - before;
    assert!(growth < 192 << 20, "{} MiB more than before", growth >> 20);
}
