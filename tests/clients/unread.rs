//! If a client does not read its response, the host gives the client up, so that the tasks can run (S2, S7). The host
//! does not give up a client that reads slowly.

use std::time::Duration;

use bytes::Bytes;
use epilogue::testing::{ResponseOutcome, TestHost};
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::frames::{END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, WINDOW_UPDATE, frame, get};
use super::{assert_client_gone, assert_serves};
use crate::client::talk;
use crate::guests;
use crate::sent::{BUFFERS, SIZE};
use crate::socket::Socket;

#[test]
fn s7_a_client_that_stops_reading_is_given_up_and_its_tasks_run() {
    for fixed in [true, false] {
        let host = TestHost::component(guests::BODY).setting("send-timeout", "1s").start();
        let mut client = Socket::get(&host, &format!("/body?size={SIZE}&fixed={fixed}"));
        client.head();
        let other = host.get("/body?size=5");
        assert_eq!(other.text(), "xxxxx");
        other.drained();

        assert_client_gone(&host.next_record());
        assert!(client.rest().len() < BUFFERS, "the connection is closed");
        assert_serves(&host);
    }
}

#[test]
fn s7_of_http2_only_the_stream_is_given_up_that_is_not_read() {
    let host = TestHost::component(guests::BODY).setting("send-timeout", "1s").start();
    // The first leaves the guest with something to write, of the second the guest has written all.
    for size in [8 << 20, 128 << 10] {
        talk(async {
            let stream = tokio::net::TcpStream::connect(host.address()).await.unwrap();
            let (mut requests, connection) = http2::Builder::new(TokioExecutor::new())
                .initial_stream_window_size(65_535)
                .handshake(TokioIo::new(stream))
                .await
                .unwrap();
            tokio::spawn(connection);
            let mut get = async |size| {
                let uri = format!("http://{}/body?size={size}", host.address());
                let request = Request::get(uri).body(Empty::<Bytes>::new()).unwrap();
                requests.send_request(request).await.unwrap().into_body()
            };
            let unread = get(size).await;
            assert_client_gone(&host.next_record());

            let read = get(5).await.collect().await.unwrap().to_bytes();
            assert_eq!(read, "xxxxx");
            host.next_record();
            drop(unread);
        });
    }
    assert_serves(&host);
}

/// Sends a request, and reads 200 KB a second of the response for five seconds, then the rest of its `size` bytes.
fn read_slowly(host: &TestHost, request: &[u8], size: usize) {
    talk(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(host.address()).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let mut piece = vec![0; 4000];
        for _ in 0..250 {
            ticks.tick().await;
            stream.read_exact(&mut piece).await.expect("the host should wait for a client that reads");
        }
        let mut rest = vec![0; size - 250 * piece.len()];
        stream.read_exact(&mut rest).await.expect("the host should go on");
        let record = host.next_record();
        assert!(matches!(record.outcome, ResponseOutcome::Delivered), "{record:?}");
    });
}

/// The host must let the system buffer only a little of a response. A full buffer of megabytes takes new bytes only
/// after a third of it has been sent. Until then, a slow client would look like a client that reads nothing.
#[test]
fn s7_a_client_that_reads_slowly_is_not_given_up() {
    let host = TestHost::component(guests::BODY).setting("send-timeout", "2s").start();
    let size = 4 << 20;
    read_slowly(&host, format!("GET /body?size={size} HTTP/1.1\r\nhost: test\r\n\r\n").as_bytes(), size);
}

#[test]
fn s7_of_http2_a_client_that_reads_slowly_is_not_given_up() {
    let host = TestHost::component(guests::BODY).setting("send-timeout", "2s").start();
    let size: u32 = 4 << 20;
    // It grants all of it at once.
    let granted = (2 * size).to_be_bytes();
    let window = [&[0, 4][..], &granted].concat();
    let request = [
        &PREFACE[..PREFACE.len() - 9],
        &frame(SETTINGS, 0, 0, &window),
        &frame(WINDOW_UPDATE, 0, 0, &granted),
        &frame(HEADERS, END_STREAM | END_HEADERS, 1, &get(&format!("/body?size={size}"))),
    ];
    read_slowly(&host, &request.concat(), size as usize);
}
