//! A component can reach only the servers in its `allowed_outbound_hosts`. The same holds for tasks and for handlers.

use std::net::UdpSocket;

use epilogue::testing::TestHost;

use crate::guests;
use crate::process::{Process, application, up};
use crate::upstream::Upstream;

#[test]
fn nothing_is_reached_by_default() {
    let upstream = Upstream::start();
    let host = TestHost::start(guests::OUTBOUND);
    assert_eq!(host.get(&format!("/now?{}", upstream.url())).text(), "denied");
    let later = host.get(&format!("/later?{}", upstream.url()));
    assert_eq!(later.text(), "later");
    later.drained();
    assert_eq!(host.stdout(), "task: denied\n");
    assert_eq!(host.get(&format!("/connect?{}", upstream.address())).text(), "PermissionDenied");
}

#[test]
fn what_is_denied_is_logged_with_what_would_allow_it() {
    let upstream = Upstream::start();
    // Without any entry for tcp there would be no socket to connect.
    let app = application(guests::OUTBOUND, "allowed_outbound_hosts = [\"tcp://127.0.0.1:1\"]");
    let host = Process::start(up(app.path(), []));
    let add = |entry: &str| format!("add \"{entry}\" to allowed_outbound_hosts of [component.app]");
    for (path, url, advice) in [
        (format!("/now?{}/data?key=value", upstream.url()), upstream.url(), add(&upstream.url())),
        (
            "/now?https://api.example.com/data".to_owned(),
            "https://api.example.com".to_owned(),
            add("https://api.example.com"),
        ),
        ("/now?http://self.alt/own".to_owned(), "http://self.alt".to_owned(), add("http://self")),
        ("/now?http://self/own".to_owned(), "http://self".to_owned(), "http://self.alt".to_owned()),
        (
            "/now?http://db.spin.internal/".to_owned(),
            "http://db.spin.internal".to_owned(),
            add("http://db.spin.internal"),
        ),
        (
            "/later?http://later.example.com".to_owned(),
            "http://later.example.com".to_owned(),
            add("http://later.example.com"),
        ),
        (
            format!("/connect?{}", upstream.address()),
            format!("tcp://{}", upstream.address()),
            add(&format!("tcp://{}", upstream.address())),
        ),
    ] {
        crate::client::get(host.address(), &path);
        let line = host.logged(&format!(" to {url} is not allowed: "));
        assert!(line.contains(&advice), "{line} should say {advice}");
    }
}

#[test]
fn a_connection_that_is_refused_is_logged_with_where_to() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let app = application(guests::OUTBOUND, "allowed_outbound_hosts = [\"http://127.0.0.1:*\"]");
    let host = Process::start(up(app.path(), []));
    let told = crate::client::get(host.address(), &format!("/now?http://{free}/secret?token=secret"));
    assert_eq!(told, "ErrorCode::ConnectionRefused");
    let line = host.logged(&format!("a request to http://{free} failed"));
    assert!(line.contains("error=\"connection error: ") && line.contains("component=\"app\""), "{line}");
    assert!(!line.contains("secret"), "{line}");
}

#[test]
fn what_a_guest_repeats_is_logged_once_a_minute() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (allowed, lines) in [
        ("", [format!("a request to http://{free} is not allowed"), "a tcp socket is not allowed".to_owned()]),
        (
            "\"http://127.0.0.1:*\", \"tcp://127.0.0.1:1\"",
            [format!("a request to http://{free} failed"), format!("a connection to tcp://{free} is not allowed")],
        ),
    ] {
        let app = application(guests::OUTBOUND, &format!("allowed_outbound_hosts = [{allowed}]"));
        let host = Process::start(up(app.path(), []));
        for _ in 0..2 {
            assert_eq!(crate::client::get(host.address(), &format!("/again?{free}")), "again and again");
        }
        host.signal("TERM");
        let stderr = host.ended().stderr;
        for line in lines {
            let told: Vec<_> = stderr.iter().filter(|told| told.contains(&line)).collect();
            assert!(told.len() == 1 && told[0].contains("times=1"), "{line}: {told:#?}");
        }
    }
}

#[test]
fn an_allowed_host_is_reached() {
    let upstream = Upstream::start();
    let host = TestHost::component(guests::OUTBOUND).allow(&upstream.url()).start();
    let now = host.get(&format!("/now?{}/data?key=value", upstream.url()));
    let call = upstream.call();
    assert_eq!(call.line, "GET /data?key=value HTTP/1.1");
    call.answer("the data");
    assert_eq!(now.text(), "the data");

    let later = host.get(&format!("/later?{}", upstream.url()));
    upstream.call().answer("more");
    later.drained();
    assert_eq!(host.stdout(), "task: more\n");
}

#[test]
fn another_port_of_an_allowed_host_is_not_reached() {
    let (allowed, other) = (Upstream::start(), Upstream::start());
    let host = TestHost::component(guests::OUTBOUND).allow(&allowed.url()).start();
    assert_eq!(host.get(&format!("/now?{}", other.url())).text(), "denied");
}

#[test]
fn a_socket_needs_an_entry_of_its_own() {
    let upstream = Upstream::start();
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let connect = format!("/connect?{}", upstream.address());
    let send = format!("/send?{}", receiver.local_addr().unwrap());

    let over_http = TestHost::component(guests::OUTBOUND).allow(&upstream.url()).start();
    assert_eq!(over_http.get(&connect).text(), "PermissionDenied");
    assert_eq!(over_http.get(&send).text(), "PermissionDenied");

    let over_tcp = TestHost::component(guests::OUTBOUND).allow(&format!("tcp://{}", upstream.address())).start();
    assert_eq!(over_tcp.get(&connect).text(), "done");
    assert_eq!(over_tcp.get(&send).text(), "PermissionDenied");

    let over_udp = TestHost::component(guests::OUTBOUND).allow("udp://127.0.0.1:*").start();
    assert_eq!(over_udp.get(&connect).text(), "PermissionDenied");
    assert_eq!(over_udp.get(&send).text(), "done");
    let mut datagram = [0; 5];
    assert_eq!(receiver.recv(&mut datagram).unwrap(), 5);
    assert_eq!(&datagram, b"hello");
}

#[test]
fn a_name_is_looked_up_only_where_something_is_allowed() {
    let host = TestHost::start(guests::OUTBOUND);
    assert_ne!(host.get("/look-up?localhost:80").text(), "done");
    // An address is no name.
    assert_eq!(host.get("/look-up?127.0.0.1:80").text(), "done");
    let host = TestHost::component(guests::OUTBOUND).allow("tcp://127.0.0.1:1").start();
    assert_eq!(host.get("/look-up?localhost:80").text(), "done");
}

#[test]
fn a_component_never_listens() {
    let host = TestHost::component(guests::OUTBOUND).allow("*://*:*").start();
    for address in ["127.0.0.1:0", "0.0.0.0:0"] {
        assert_eq!(host.get(&format!("/listen?{address}")).text(), "PermissionDenied");
    }
}

#[test]
fn the_own_application_is_reached_without_knowing_its_address() {
    let host = TestHost::component(guests::OUTBOUND).allow("http://self").start();
    let expected = format!("here I am, at {}", host.address());
    assert_eq!(host.get("/now?http://self.alt/hello").text(), expected);
    assert_eq!(host.get("/now?/hello").text(), expected, "a request with only a path");
    host.get("/later?http://self.alt/hello").drained();
    assert_eq!(host.stdout(), format!("task: {expected}\n"));
}

#[test]
fn the_own_application_is_not_reached_by_default() {
    let upstream = Upstream::start();
    let host = TestHost::component(guests::OUTBOUND).allow(&upstream.url()).start();
    assert_eq!(host.get("/now?http://self.alt/hello").text(), "denied");
    assert_eq!(host.get("/now?/hello").text(), "denied");
}
