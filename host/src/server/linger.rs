//! Closes a connection whose client is still sending. If the host closed both sides of the connection immediately, the
//! operating system would answer the client's next bytes with a reset. A client that gets the reset before it has read
//! the host's answer can lose the answer. Therefore, the host first closes only its own side and goes on reading for a
//! while, as nginx does with `lingering_close`.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

/// The longest time that the host goes on reading after it has closed its own side. nginx has the same default.
const LIMIT: Duration = Duration::from_secs(30);
/// The longest time that the host waits for the client's next bytes. nginx has the same default.
const PAUSE: Duration = Duration::from_secs(5);
/// The largest number of bytes that the host reads from a connection after the host has closed its own side.
const SIZE: usize = 256 << 20;
const CHUNK: usize = 16 << 10;

/// Closes the host's side of the connection and discards the bytes that the client sends. Returns when the client has
/// closed its side, when [`LIMIT`] has passed, when no byte has arrived for [`PAUSE`], or after [`SIZE`] bytes.
pub(crate) async fn linger(io: &RefCell<impl AsyncRead + AsyncWrite + Unpin>) {
    let discard = async {
        // If hyper has ended with an error, it has not shut down the host's side yet.
        _ = poll_fn(|cx| Pin::new(&mut *io.borrow_mut()).poll_shutdown(cx)).await;
        let (mut chunk, mut size) = (vec![0; CHUNK], 0);
        while size < SIZE {
            let mut buffer = ReadBuf::new(&mut chunk);
            let read = poll_fn(|cx| Pin::new(&mut *io.borrow_mut()).poll_read(cx, &mut buffer));
            match timeout(PAUSE, read).await {
                Ok(Ok(())) if !buffer.filled().is_empty() => size += buffer.filled().len(),
                _ => return,
            }
            // If a client sends as fast as the host reads, this call makes the loop yield, so that other work of the
            // thread runs too.
            tokio::task::consume_budget().await;
        }
    };
    _ = timeout(LIMIT, discard).await;
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn lingers_until_the_client_is_done() {
        let (mut client, io) = tokio::io::duplex(1024);
        let io = RefCell::new(io);
        let upload = async {
            client.write_all(&[0; 1 << 20]).await.unwrap();
            assert_eq!(client.read_to_end(&mut Vec::new()).await.unwrap(), 0, "the host has ended its side");
            drop(client);
        };
        let begun = Instant::now();
        tokio::join!(linger(&io), upload);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn does_not_linger_without_end() {
        for (pause, limit) in [(Duration::from_secs(60), PAUSE), (Duration::from_secs(1), LIMIT)] {
            let (mut client, io) = tokio::io::duplex(1024);
            let (io, begun) = (RefCell::new(io), Instant::now());
            let trickle = async {
                while client.write_all(b"a").await.is_ok() {
                    tokio::time::sleep(pause).await;
                }
            };
            tokio::select! {
                () = linger(&io) => {}
                () = trickle => {}
            }
            assert_eq!(begun.elapsed(), limit);
        }
    }

    #[tokio::test]
    async fn does_not_read_without_end() {
        let (mut client, io) = tokio::io::duplex(1 << 20);
        let io = RefCell::new(io);
        let chunk = vec![0; 1 << 20];
        let flood = async {
            let mut sent = 0;
            while client.write_all(&chunk).await.is_ok() {
                sent += chunk.len();
                assert!(sent <= SIZE + 2 * chunk.len(), "{sent}");
            }
        };
        tokio::select! {
            () = linger(&io) => {}
            () = flood => panic!("the host's end is still there"),
        }
    }
}
