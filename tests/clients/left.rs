//! Clients that leave their requests, or do not go on with them, take no places from other addresses (S12).

use std::net::Ipv4Addr;

use epilogue::testing::TestHost;

use super::frames::{END_HEADERS, END_STREAM, HEADERS, PREFACE, RST_STREAM, WINDOW_UPDATE, frame, get, read_until};
use crate::gate::{Gate, Waiting};
use crate::guests;
use crate::process::{Process, application, retry, up};
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

/// Opens streams of a connection whose limit is `max`, until their handlers run. Ends each with `reset`. Then the connection
/// may open `more`, as far as HTTP/2 is concerned.
fn streams_count_until_their_requests_end(max: u32, more: u32, reset: impl Fn(&mut Socket, u32)) {
    telling::listen();
    let gate = Gate::new();
    let host = gate.host(guests::GATE).setting("max-streams", &max.to_string()).start();
    let path = gate.path("handler");
    let mut client = Socket::connect(&host);
    client.try_write(PREFACE);
    let open = |client: &mut Socket, stream: u32| {
        client.try_write(&frame(HEADERS, END_STREAM | END_HEADERS, stream, &get(&path)));
    };
    let stream = |index: u32| 2 * index + 1;
    let mut handlers: Vec<Waiting> = Vec::new();
    for stream in (0..max).map(stream) {
        open(&mut client, stream);
        handlers.push(gate.wait());
    }
    for stream in (0..max).map(stream) {
        reset(&mut client, stream);
    }
    // A response before the gate is open is a refusal.
    for stream in (max..max + more).map(stream) {
        open(&mut client, stream);
        read_until(&mut client, HEADERS, stream);
    }
    assert_metric("max-streams");
    // Another connection is served meanwhile.
    assert_eq!(host.get(AT_ONCE).text(), "passed");
    handlers.into_iter().for_each(Waiting::open);
    for _ in 0..=max {
        host.next_record();
    }
    let last = stream(max + more);
    open(&mut client, last);
    gate.wait().open();
    read_until(&mut client, HEADERS, last);
}

fn reset(client: &mut Socket, stream: u32) {
    client.try_write(&frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
}

/// MadeYouReset, CVE-2025-8671: a window of more than 2^31 - 1 bytes is an error of the stream.
fn make_the_host_reset(client: &mut Socket, stream: u32) {
    client.try_write(&frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes()));
    read_until(client, RST_STREAM, stream);
}

#[test]
fn s12_a_stream_that_its_client_has_reset_counts_until_its_request_ends() {
    streams_count_until_their_requests_end(4, 4, reset);
}

#[test]
fn s12_a_stream_that_the_host_had_to_reset_counts_until_its_request_ends() {
    streams_count_until_their_requests_end(4, 4, make_the_host_reset);
}

/// The attack of full size, against the defaults.
#[test]
fn s12_a_thousand_streams_that_are_reset_take_as_many_places_as_one_connection_may() {
    streams_count_until_their_requests_end(200, 810, reset);
    streams_count_until_their_requests_end(200, 810, make_the_host_reset);
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
fn s12_a_client_that_leaves_is_noticed_even_if_the_guest_does_not_read_its_body() {
    let gate = Gate::new();
    let host = gate.host(guests::GATE).setting("max-stalled-per-address", "2").start();
    let path = gate.path("handler");
    let arrive = |_| {
        let mut client = Socket::connect(&host);
        client.write(&format!("GET {path} HTTP/1.1\r\nhost: test\r\ncontent-length: 40000\r\n\r\n"));
        // hyper reads a small body by itself.
        client.write(&"x".repeat(32 << 10));
        (client, gate.wait())
    };
    let (clients, handlers): (Vec<Socket>, Vec<Waiting>) = (0..2).map(arrive).unzip();
    assert_eq!(status(&host, ATTACKER, AT_ONCE), "200");
    drop(clients);
    retry(|| (status(&host, ATTACKER, AT_ONCE) == "503").then_some(()));
    assert_eq!(status(&host, NEIGHBOR, AT_ONCE), "200");
    handlers.into_iter().for_each(Waiting::open);
    retry(|| (status(&host, ATTACKER, AT_ONCE) == "200").then_some(()));
}

#[test]
fn a_connection_is_closed_when_its_client_leaves_though_its_request_goes_on() {
    let gate = Gate::new();
    let app = application(guests::GATE, &format!("allowed_outbound_hosts = [\"{}\"]", gate.url()));
    let host = Process::start(up(app.path(), ["--threads", "1"]));
    let mut client = Socket::connect_to(host.address());
    client.request("GET", &gate.path("handler"));
    let handler = gate.wait();
    let before = host.sockets();
    drop(client);
    retry(|| (host.sockets() == before - 1).then_some(()));
    handler.open();
    host.printed("second");
}

#[test]
fn an_address_has_no_more_connections_than_its_share() {
    telling::listen();
    let host = TestHost::component(guests::BODY).setting("max-connections-per-address", "2").start();
    let mut idle: Vec<Socket> = (0..2).map(|_| Socket::connect(&host)).collect();
    for client in &mut idle {
        client.request("GET", "/body?size=5");
        client.head();
    }
    assert_eq!(Socket::connect(&host).rest(), "", "it is closed at once");
    let metrics = telling::listen().render();
    assert!(metrics.contains("epilogue_limit_hits_total{limit=\"connections-per-address\"} "), "{metrics}");
    assert_eq!(status(&host, NEIGHBOR, "/body?size=5"), "200");
    drop(idle);
    retry(|| {
        let mut client = Socket::connect(&host);
        client.try_write(b"GET /body?size=5 HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        client.rest().starts_with("HTTP/1.1 200 OK").then_some(())
    });
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
