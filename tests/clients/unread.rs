//! A response that is not read: its client is given up, so that its tasks can run (S2, S7).

use bytes::Bytes;
use epilogue::testing::TestHost;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};

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
        assert_serves(&host);
        host.next_record();

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
