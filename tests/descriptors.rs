//! A process that runs out of file descriptors keeps some for itself, and goes on when more are free again.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use crate::client::get;
use crate::guests;
use crate::monitor;
use crate::process::{Process, application, retry, up};
use crate::socket::Socket;

/// How many files the host may open. Without clients it needs about thirty.
const FILES: usize = 120;

/// Starts a host that may open so many files.
fn limited(folder: &Path, files: usize) -> Process {
    limited_with(folder, files, [])
}

fn limited_with<const N: usize>(folder: &Path, files: usize, options: [&str; N]) -> Process {
    let mut host = up(folder, ["--metrics-listen", "127.0.0.1:0"]);
    host.args(options);
    let mut limited = Command::new("prlimit");
    limited.arg(format!("--nofile={files}:{files}")).arg(host.get_program()).args(host.get_args());
    for (name, value) in host.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    Process::start(limited)
}

fn assert_serves(address: SocketAddr) {
    assert_eq!(get(address, "/"), "Hello, world!");
}

#[test]
fn connections_leave_descriptors_for_the_host() {
    let app = application(guests::HELLO, "");
    let host = limited(app.path(), FILES);
    let metrics = monitor::address(&host);
    host.logged("max-connections is too high");
    assert_serves(host.address());
    let idle: Vec<TcpStream> = (0..2 * FILES).map(|_| TcpStream::connect(host.address()).unwrap()).collect();
    host.logged("few file descriptors are left: further connections wait");
    assert_eq!(get(metrics, "/healthz"), "alive\n");
    let mut waiting = Socket::connect_to(host.address());
    waiting.request("GET", "/");
    assert_eq!(get(metrics, "/healthz"), "alive\n");
    drop(idle);
    assert!(waiting.head().starts_with("HTTP/1.1 200 OK"));
    let told = host.logged_so_far().into_iter().filter(|line| line.contains("file descriptors are left")).count();
    assert_eq!(told, 1);
}

#[test]
fn listeners_go_on_after_an_accept_that_failed() {
    let app = application(guests::HELLO, "");
    let host = limited(app.path(), FILES);
    let (serving, metrics) = (host.address(), monitor::address(&host));
    assert_serves(serving);
    // Fewer than are open already.
    host.limit_open_files(10);
    let clients = [serving, metrics].map(|address| {
        let mut client = Socket::connect_to(address);
        client.write("GET /healthz HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        client
    });
    host.logged("cannot accept a connection error=\"Too many open files");
    host.logged("cannot accept a connection for metrics error=\"Too many open files");
    host.limit_open_files(FILES);
    for mut client in clients {
        assert!(client.head().starts_with("HTTP/1.1 200 OK"));
    }
    retry(|| (get(metrics, "/healthz") == "alive\n").then_some(()));
    assert_serves(serving);
}

#[test]
fn a_host_that_is_ready_has_the_files_that_its_threads_need() {
    let app = application(guests::HELLO, "");
    let host = limited_with(app.path(), 4 * FILES, ["--threads", "64"]);
    let address = host.address();
    // Few threads have begun by now.
    host.limit_open_files(10);
    let mut client = Socket::connect_to(address);
    client.write("GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    host.logged("cannot accept a connection error=\"Too many open files");
    host.limit_open_files(4 * FILES);
    assert!(client.head().starts_with("HTTP/1.1 200 OK"));
    let ended = host.logged_so_far().into_iter().find(|line| line.contains("a thread of the host ended"));
    assert_eq!(ended, None);
}
