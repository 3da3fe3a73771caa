//! A client that sends requests at its own rate and does not wait for responses: an open loop, over as many connections as it needs.

use std::cell::RefCell;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, interval, timeout};

/// How long a client waits for a response.
const PATIENCE: Duration = Duration::from_secs(60);
/// The client's pause after a response with `retry-after`.
const PAUSE: Duration = Duration::from_millis(20);

/// What came of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: bool,
    /// The time from when the request was due until the whole response was there.
    pub(super) took: Duration,
}

/// A client of one host.
#[derive(Clone)]
pub(super) struct Client {
    address: SocketAddr,
    idle: Rc<RefCell<Vec<TcpStream>>>,
}

impl Client {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, idle: Rc::default() }
    }

    /// Sends `count` requests one after the other.
    pub(super) async fn in_turn(&self, count: usize) -> Vec<Answer> {
        let mut answers = Vec::new();
        for _ in 0..count {
            answers.push(self.ask(Instant::now()).await);
        }
        answers
    }

    /// Sends `count` requests at the same time, and a new one after each response, for `time`.
    pub(super) async fn at_once(&self, count: usize, time: Duration) -> Vec<Answer> {
        let end = Instant::now() + time;
        let one = async || {
            let mut answers = Vec::new();
            while Instant::now() < end {
                let answer = self.ask(Instant::now()).await;
                if answer.retry_after {
                    _ = timeout(PAUSE, pending::<()>()).await;
                }
                answers.push(answer);
            }
            answers
        };
        futures::future::join_all((0..count).map(|_| one())).await.concat()
    }

    /// Asks so many times a second, for so long. Does `halfway` then, and `after` right afterwards, while the last are still
    /// unanswered.
    pub(super) async fn at_a_rate<T>(
        &self,
        rate: f64,
        time: Duration,
        mut halfway: impl FnMut(),
        after: impl AsyncFnOnce(&Self) -> T,
    ) -> (Vec<Answer>, T) {
        let asked = async {
            let mut asked = JoinSet::new();
            // Those that are missed are made up for.
            let mut ticks = interval(Duration::from_secs_f64(1.0 / rate));
            let count = (time.as_secs_f64() * rate) as u32;
            for number in 0..count {
                let due = ticks.tick().await;
                if number == count / 2 {
                    halfway();
                }
                let client = self.clone();
                asked.spawn_local(async move { client.ask(due).await });
            }
            let after = after(self).await;
            (asked.join_all().await, after)
        };
        LocalSet::new().run_until(asked).await
    }

    async fn ask(&self, due: Instant) -> Answer {
        let answer = async {
            let idle = self.idle.borrow_mut().pop();
            if let Some(stream) = idle
                && let Ok(answer) = self.ask_on(stream, due).await
            {
                return answer;
            }
            // The host has closed it meanwhile, or there was none.
            let stream = TcpStream::connect(self.address).await.expect("the host should be reachable");
            stream.set_nodelay(true).unwrap();
            self.ask_on(stream, due).await.expect("the host should answer")
        };
        timeout(PATIENCE, answer).await.expect("the host should answer in time")
    }

    async fn ask_on(&self, mut stream: TcpStream, due: Instant) -> io::Result<Answer> {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n").await?;
        let mut said = Vec::with_capacity(512);
        let head = loop {
            if stream.read_buf(&mut said).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let head = said.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
            if let Some(head) = head.filter(|head| is_whole(&said, *head)) {
                break std::str::from_utf8(&said[..head]).expect("a head should be text");
            }
        };
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("there should be a status");
        let answer = Answer { status, retry_after: head.contains("\r\nretry-after: 1\r\n"), took: due.elapsed() };
        self.idle.borrow_mut().push(stream);
        Ok(answer)
    }
}

/// Whether a response is complete. `head` is the number of bytes of its headers.
fn is_whole(said: &[u8], head: usize) -> bool {
    let text = String::from_utf8_lossy(&said[..head]);
    match text.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next()?.parse::<usize>().ok()) {
        Some(length) => said.len() == head + length,
        None => said.ends_with(b"0\r\n\r\n"),
    }
}
