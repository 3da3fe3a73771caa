//! Clients that leave their requests, or do not go on with them, take no places from other addresses (S12).

use std::net::Ipv4Addr;

use epilogue::testing::TestHost;

use super::frames::{END_HEADERS, END_STREAM, HEADERS, PREFACE, RST_STREAM, WINDOW_UPDATE, frame, get, read_until};
use crate::gate::{Gate, Waiting};
use crate::guests;
use crate::process::retry;
use crate::sent::SIZE;
use crate::socket::Socket;
use crate::telling;

/// A client with another address than the one that attacks.
const NEIGHBOR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const ATTACKER: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// A request that the guest `gate` answers at once.
const AT_ONCE: &str = "/?gate=none&at=none";

/// The status of a request of a client with this address.
fn status(host: &TestHost, client: Ipv4Addr, path: &str) -> String {
    let mut client = Socket::connect_from(client, host.address());
    client.request("GET", path);
    let head = client.head();
    let status = head.split(' ').nth(1).unwrap().to_owned();
    assert!(status == "200" || head.contains("retry-after: 1\r\n"), "{head}");
    status
}

fn assert_metric(limit: &str) {
    let metrics = telling::listen().render();
    assert!(metrics.contains(&format!("epilogue_requests_refused_total{{limit={limit:?}}} ")), "{metrics}");
}

/// Opens streams of a connection whose limit is four, until their handlers run. Ends each with `reset`. Then the connection
/// may open four more, as far as HTTP/2 is concerned.
fn streams_count_until_their_requests_end(reset: impl Fn(&mut Socket, u32)) {
    telling::listen();
    let gate = Gate::new();
    let host = gate.host(guests::GATE).setting("max-streams", "4").start();
    let path = gate.path("handler");
    let mut client = Socket::connect(&host);
    client.try_write(PREFACE);
    let open = |client: &mut Socket, stream: u32| {
        client.try_write(&frame(HEADERS, END_STREAM | END_HEADERS, stream, &get(&path)));
    };
    let mut handlers: Vec<Waiting> = Vec::new();
    for stream in [1, 3, 5, 7] {
        open(&mut client, stream);
        handlers.push(gate.wait());
    }
    for stream in [1, 3, 5, 7] {
        reset(&mut client, stream);
    }
    // A response before the gate is open is a refusal.
    for stream in [9, 11, 13, 15] {
        open(&mut client, stream);
        read_until(&mut client, HEADERS, stream);
    }
    assert_metric("max-streams");
    // Another connection is served meanwhile.
    assert_eq!(host.get(AT_ONCE).text(), "passed");
    handlers.into_iter().for_each(Waiting::open);
    for _ in 0..5 {
        host.next_record();
    }
    open(&mut client, 17);
    gate.wait().open();
    read_until(&mut client, HEADERS, 17);
}

#[test]
fn s12_a_stream_that_its_client_has_reset_counts_until_its_request_ends() {
    streams_count_until_their_requests_end(|client, stream| {
        client.try_write(&frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    });
}

#[test]
fn s12_a_stream_that_the_host_had_to_reset_counts_until_its_request_ends() {
    // MadeYouReset, CVE-2025-8671: a window of more than 2^31 - 1 bytes is an error of the stream.
    streams_count_until_their_requests_end(|client, stream| {
        client.try_write(&frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes()));
        read_until(client, RST_STREAM, stream);
    });
}

#[test]
fn s12_clients_that_leave_take_no_places_from_other_addresses() {
    telling::listen();
    let gate = Gate::new();
    let host = gate.host(guests::GATE).setting("max-requests", "8").start();
    let path = gate.path("handler");
    let arrive = |_| (Socket::get(&host, &path), gate.wait());
    let (clients, handlers): (Vec<Socket>, Vec<Waiting>) = (0..8).map(arrive).unzip();
    assert_eq!(status(&host, NEIGHBOR, AT_ONCE), "503");
    drop(clients);
    // Two of them keep their places, a quarter. The other places are free once the host has noticed.
    retry(|| (status(&host, NEIGHBOR, AT_ONCE) == "200").then_some(()));
    assert_eq!(status(&host, ATTACKER, AT_ONCE), "503");
    assert_metric("max-stalled-per-address");
    handlers.into_iter().for_each(Waiting::open);
    retry(|| (status(&host, ATTACKER, AT_ONCE) == "200").then_some(()));
}

#[test]
fn s12_an_address_has_no_more_requests_at_work_than_its_share() {
    telling::listen();
    let gate = Gate::new();
    let host = gate.host(guests::GATE).setting("max-requests-per-address", "2").start();
    let arrive = |_| (Socket::get(&host, &gate.path("handler")), gate.wait());
    let at_work: Vec<(Socket, Waiting)> = (0..2).map(arrive).collect();
    assert_eq!(status(&host, ATTACKER, AT_ONCE), "503");
    assert_metric("max-requests-per-address");
    assert_eq!(status(&host, NEIGHBOR, AT_ONCE), "200");
    at_work.into_iter().for_each(|(_, handler)| handler.open());
    retry(|| (status(&host, ATTACKER, AT_ONCE) == "200").then_some(()));
}

#[test]
fn s12_clients_that_do_not_go_on_with_their_bodies_have_a_share() {
    let host = TestHost::component(guests::BODY).setting("max-stalled-per-address", "2").start();
    let mut slow: Vec<Socket> = (0..2).map(|_| Socket::post(&host, "/echo", 5)).collect();
    for client in &mut slow {
        client.write("some");
        client.head();
    }
    retry(|| (status(&host, ATTACKER, "/body?size=5") == "503").then_some(()));
    assert_eq!(status(&host, NEIGHBOR, "/body?size=5"), "200");
    for mut client in slow {
        client.write("x");
        assert!(client.rest().contains('x'));
    }
    retry(|| (status(&host, ATTACKER, "/body?size=5") == "200").then_some(()));
}

#[test]
fn s12_clients_that_do_not_read_have_a_share() {
    let settings = [("max-stalled-per-address", "1"), ("send-timeout", "4s")];
    let host = settings.iter().fold(TestHost::component(guests::BODY), |host, (name, value)| host.setting(name, value));
    let host = host.start();
    let unread = Socket::get(&host, &format!("/body?size={SIZE}"));
    retry(|| (status(&host, ATTACKER, "/body?size=5") == "503").then_some(()));
    assert_eq!(status(&host, NEIGHBOR, "/body?size=5"), "200");
    drop(unread);
    retry(|| (status(&host, ATTACKER, "/body?size=5") == "200").then_some(()));
}
