//! Tests that a worker keeps its lease if the connection breaks after Redis has made a change, and before Redis's
//! answer arrives.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use epilogue_engines::{Counts, Options, connect};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};

use crate::fixture::{LONG, batch};
use crate::servers::Server;

/// Starts a proxy that forwards connections to `server`, and returns the proxy's address. If the test sets `cut`, the
/// proxy drops the server's next answer and breaks the connection.
async fn way_to(server: &Server, cut: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let target = server.url().trim_start_matches("redis://").to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (target, cut) = (target.clone(), cut.clone());
            tokio::spawn(async move {
                let server = TcpStream::connect(target).await.unwrap();
                let (mut asked, mut answers) = client.into_split();
                let (mut answered, mut asks) = server.into_split();
                let answer = async {
                    let mut bytes = vec![0; 1 << 16];
                    while let Ok(read @ 1..) = answered.read(&mut bytes).await {
                        if cut.swap(false, Ordering::SeqCst) || answers.write_all(&bytes[..read]).await.is_err() {
                            break;
                        }
                    }
                };
                tokio::select! {
                    () = answer => {}
                    _ = copy(&mut asked, &mut asks) => {}
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_whose_answer_was_lost_does_not_lose_the_lease() {
    let server = Server::redis();
    let cut = Arc::new(AtomicBool::new(false));
    let url = format!("redis://{}", way_to(&server, cut.clone()).await);
    let engine = connect(&url, Options { visibility: LONG, ..Options::default() }).unwrap();
    engine.enqueue(&batch(&["one", "two"])).await.unwrap();
    let mut lease = engine.lease("w", LONG).await.unwrap().unwrap();
    for next in [1, 2] {
        cut.store(true, Ordering::SeqCst);
        engine.checkpoint(&mut lease, next).await.unwrap();
        assert!(!cut.load(Ordering::SeqCst), "the answer was not lost");
        assert_eq!((lease.next, lease.attempt), (next, 1));
    }
    engine.ack(&lease).await.unwrap();
    assert_eq!(engine.counts().await.unwrap(), Counts::default());
}
