//! Ten thousand idle connections.

use std::net::TcpStream;

use epilogue::testing::raise_open_files;
use rustix::process::{Resource, getrlimit};

use super::Attacked;
use crate::socket::Socket;

/// How many connections the test opens: a few less than the default of `max-connections`.
const MANY: usize = 9_990;
/// Files that this process needs for other tests, which run meanwhile.
const OTHERS: usize = 500;

#[test]
fn ten_thousand_idle_connections_hold_up_nobody() {
    raise_open_files();
    // Where the system grants less, fewer must do.
    let granted = getrlimit(Resource::Nofile).current.map_or(MANY, |files| files as usize - OTHERS);
    let many = MANY.min(granted);
    println!("{many} connections");
    let host = Attacked::start(["--log", "warn", "--idle-timeout", "10m"]);
    let address = host.process.address();
    let mut clients: Vec<Socket> = Vec::new();
    for _ in 0..many {
        let mut client = Socket::connect_to(address);
        client.request("GET", "/");
        client.head();
        clients.push(client);
    }
    host.assert_serves();
    let each = host.growth() / many;
    assert!(each < 48 << 10, "{each} bytes for each connection");
}

#[test]
fn a_connection_too_many_waits_until_another_closes() {
    let host = Attacked::start(["--max-connections", "2", "--threads", "1"]);
    let address = host.process.address();
    let idle = [TcpStream::connect(address).unwrap(), TcpStream::connect(address).unwrap()];
    let mut third = Socket::connect_to(address);
    third.request("GET", "/");
    host.process.logged("the limit max-connections is reached: further connections wait max_connections=2");
    drop(idle);
    assert!(third.head().starts_with("HTTP/1.1 200 OK"));
}
