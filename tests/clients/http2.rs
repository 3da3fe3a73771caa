//! Floods that are possible only with HTTP/2. The HTTP/2 library has limits against them. These tests show that the
//! limits hold in this host.

use http::StatusCode;

use super::Attacked;
use super::frames::{
    CONTINUATION, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, frame, get,
    goaway, settings,
};
use crate::gate::Gate;
use crate::guests;
use crate::process::{Process, application, up};
use crate::socket::Socket;
use crate::support::ends;

/// How many bytes an attack may take. The tests saw less than 1 MiB, but the cache of compiled components may be at work meanwhile.
const ROOM: usize = 128 << 20;

#[test]
fn streams_that_are_opened_and_reset_at_once_end_their_connection() {
    // Rapid reset, CVE-2023-44487.
    let host = Attacked::start([]);
    for _ in 0..10 {
        let mut attack = PREFACE.to_vec();
        for stream in (1..20_000).step_by(2) {
            attack.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, &get("/")));
            attack.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        }
        let mut client = Socket::connect_to(host.process.address());
        client.try_write(&attack);
        // The host may break the connection before its last words are read.
        let said = goaway(&client.remains());
        assert!(said.is_none_or(|error| error == ENHANCE_YOUR_CALM), "{said:?}");
        host.assert_serves();
    }
    assert!(host.growth() < ROOM, "{} bytes", host.growth());
    // Of 100,000 at most those were begun that may be open at once.
    let begun = host.requests();
    assert!(begun <= 10 * 200, "{begun} requests");
}

#[test]
fn s12_a_request_whose_stream_was_reset_keeps_its_place_until_it_ends() {
    // Rapid reset with more patience: each stream is reset once its handler runs.
    let gate = Gate::new();
    let host = gate.host(guests::GATE).setting("max-requests", "3").setting("max-stalled-per-address", "4").start();
    let path = gate.path("handler");
    let mut client = Socket::connect(&host);
    client.try_write(PREFACE);
    for stream in [1, 3, 5] {
        client.try_write(&frame(HEADERS, END_STREAM | END_HEADERS, stream, &get(&path)));
    }
    let handlers = [gate.wait(), gate.wait(), gate.wait()];
    for stream in [1, 3, 5] {
        client.try_write(&frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    assert_eq!(host.get("/?gate=none&at=none").response().status(), StatusCode::SERVICE_UNAVAILABLE);
    for handler in handlers {
        handler.open();
        assert_eq!(ends(&host.next_record()), ["task succeeded", "second succeeded"]);
    }
    assert_eq!(host.get("/?gate=none&at=none").text(), "passed");
}

#[test]
fn a_client_is_told_how_many_streams_it_may_open() {
    for (setting, expected) in [(&[][..], 200), (&["--max-streams", "7"], 7)] {
        let host = Attacked::start(setting.iter().copied());
        let mut client = Socket::connect_to(host.process.address());
        client.try_write(PREFACE);
        client.finish();
        let said = client.remains();
        // SETTINGS_MAX_CONCURRENT_STREAMS.
        let (_, value) = settings(&said).into_iter().find(|(setting, _)| *setting == 3).unwrap();
        assert_eq!(value, expected);
    }
}

#[test]
fn floods_that_are_to_be_answered_end_with_their_connection() {
    // A host that keeps its answers for a client that does not read them would grow.
    let host = Attacked::start(["--log", "warn", "--idle-timeout", "1s"]);
    for ask in [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, 0, 0, &[])] {
        let mut client = Socket::connect_to(host.process.address());
        client.try_write(PREFACE);
        let more = ask.repeat(ROOM / ask.len());
        assert!((0..10).any(|_| !client.try_write(&more)), "the host should have closed the connection");
        host.assert_serves();
    }
    assert!(host.growth() < ROOM, "{} bytes", host.growth());
}

#[test]
fn frames_that_a_client_repeats_are_not_logged() {
    let app = application(guests::HELLO, "");
    let host = Process::start(up(app.path(), []));
    let mut client = Socket::connect_to(host.address());
    client.try_write(PREFACE);
    // An acknowledgement that nobody waits for: nothing is to be done about it, and the library warns of it.
    client.try_write(&frame(PING, 1, 0, &[0; 8]).repeat(1000));
    client.finish();
    client.remains();
    host.signal("TERM");
    let stderr = host.ended().stderr;
    assert!(stderr.len() < 20, "{stderr:#?}");
}

#[test]
fn headers_that_never_end_end_their_connection() {
    // CONTINUATION flood, CVE-2024-27316.
    let host = Attacked::start(["--log", "warn"]);
    // A header of one letter for another, again and again; and frames without anything in them.
    for piece in [b"\x00\x01a\x01b".repeat(3_000), vec![]] {
        let mut client = Socket::connect_to(host.process.address());
        client.try_write(PREFACE);
        client.try_write(&frame(HEADERS, END_STREAM, 1, &get("/")));
        let more = frame(CONTINUATION, 0, 1, &piece);
        let more = more.repeat(ROOM / more.len());
        assert!((0..10).any(|_| !client.try_write(&more)), "the host should have closed the connection");
        client.remains();
        host.assert_serves();
    }
    assert!(host.growth() < ROOM, "{} bytes", host.growth());
}
