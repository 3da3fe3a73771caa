//! The host answers before it has read the whole request, and the client first writes the whole request. The client
//! always gets the answer.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use epilogue::testing::TestHost;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::assert_serves;
use crate::client::talk;
use crate::guests;

/// More bytes than the send and receive buffers of the connection hold.
const SIZE: usize = 10 << 20;

/// Writes the whole request, and then reads the whole answer.
fn upload(host: &TestHost, head: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(host.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).expect("the host should read on");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the answer should not be lost");
    answer
}

#[test]
fn an_early_answer_reaches_a_client_that_writes_first() {
    let limited = TestHost::component(guests::COLLECT).setting("max-body-size", "1MiB").start();
    let unlimited = TestHost::start(guests::COLLECT);
    let fixed = format!("content-length: {SIZE}");
    let body = vec![b'x'; SIZE];
    let chunks = [format!("{SIZE:x}\r\n").as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
    for _ in 0..5 {
        for (host, path, framing, status) in [
            (&limited, "/", &*fixed, 413),
            (&limited, "/", "transfer-encoding: chunked", 413),
            (&limited, "/", "transfer-encoding: gzip, chunked", 501),
            (&unlimited, "/ignore", &fixed, 200),
            (&unlimited, "/ignore", "transfer-encoding: chunked", 200),
        ] {
            let head = format!("POST {path} HTTP/1.1\r\nhost: test\r\n{framing}\r\n\r\n");
            let answer = upload(host, &head, if framing == fixed { &body } else { &chunks });
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path} {framing}: {answer}");
        }
    }
}

#[test]
fn an_answer_to_what_is_no_request_reaches_a_client_that_writes_first() {
    let host = TestHost::component(guests::BODY).setting("max-header-size", "32KiB").start();
    for (head, status) in [("GET / HTTP/1.1\r\nx-large: ", 431), ("GET / HTTP/9.9\r\n\r\n", 400)] {
        let answer = upload(&host, head, &vec![b'x'; SIZE]);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    assert_serves(&host);
}

#[test]
fn early_answers_over_http2_leave_the_connection_to_other_requests() {
    let host = TestHost::start(guests::COLLECT);
    talk(async {
        let stream = tokio::net::TcpStream::connect(host.address()).await.unwrap();
        let (requests, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let ask = async |path: &str, size: usize| {
            let body = Full::new(Bytes::from(vec![b'x'; size]));
            let request = Request::post(format!("http://{}{path}", host.address())).body(body).unwrap();
            let response = requests.clone().send_request(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            response.into_body().collect().await.unwrap().to_bytes()
        };
        // In all more than any window.
        for _ in 0..10 {
            assert_eq!(ask("/ignore", SIZE).await, "ignored");
        }
        assert_eq!(ask("/", 1 << 20).await, format!("{} bytes", 1 << 20));
    });
}
