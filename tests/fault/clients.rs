//! The clients: some behave correctly, and others are slow, leave, reset the connection, or send garbage.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use futures::future::join_all;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Interval, interval, timeout};

use super::script::{Limits, Script, pick};

/// How long a client waits for its response, if it does not leave.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request that was sent, the kind of client that sent it, and what that client saw.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) script: Script,
    pub(super) client: &'static str,
    pub(super) seen: Seen,
}

/// What a client saw of its response.
#[derive(Debug)]
pub(super) enum Seen {
    /// The client did not wait for the end.
    Left,
    /// No response, though the client waited.
    Nothing(String),
    /// A response whose body broke.
    Broken(StatusCode),
    Whole(Answer),
}

/// A whole response.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// The IDs of the tasks that the handler added, as it says in its response.
    pub(super) accepted: Option<String>,
    pub(super) retry_after: bool,
    pub(super) body: Bytes,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} bytes, with the tasks {:?}", self.status, self.body.len(), self.accepted)
    }
}

const KINDS: [(&str, u8); 13] = [
    ("whole", 10),
    ("http2", 6),
    ("kept", 6),
    ("streams", 4),
    ("resets", 1),
    ("pipelined", 4),
    ("echo", 3),
    ("slow", 2),
    ("unread", 1),
    ("left before the response", 2),
    ("left in the response", 3),
    ("left in the request", 2),
    ("garbage", 1),
];

/// One client's turn: a connection, and one request or several.
pub(super) struct Turn<'a> {
    pub(super) address: SocketAddr,
    pub(super) limits: &'a Limits,
    pub(super) rng: Rng,
    /// Requests that have been answered so far.
    pub(super) answered: &'a AtomicUsize,
}

impl Turn<'_> {
    pub(super) async fn take(mut self) -> Vec<Sent> {
        let sum: u8 = KINDS.iter().map(|(_, weight)| weight).sum();
        let mut draw = self.rng.u8(..sum);
        let mut kinds = KINDS.iter().skip_while(|(_, weight)| {
            let passes = draw >= *weight;
            draw = draw.saturating_sub(*weight);
            passes
        });
        let (client, _) = kinds.next().expect("the weights should add up");
        let count = match *client {
            "kept" | "streams" | "pipelined" => self.rng.usize(2..6),
            "resets" => 50,
            _ => 1,
        };
        let scripts: Vec<_> = (0..count).map(|_| Script::draw(&mut self.rng, self.limits)).collect();
        let shown = scripts.clone();
        let seen = timeout(PATIENCE, self.play(client, scripts)).await.unwrap_or_else(|_| {
            panic!("the client {client:?} waits for ever: {}", shown.iter().map(Script::path).collect::<String>())
        });
        self.answered.fetch_add(seen.len(), Relaxed);
        seen.into_iter().map(|(script, seen)| Sent { script, client, seen }).collect()
    }

    /// Sends a round's last request. It shows that the host is alive, and has room again after the earlier requests
    /// have ended.
    pub(super) async fn last(self) -> Sent {
        let script = Script { id: "f".repeat(32), run: vec!["ok".to_owned()], size: 40, ..Script::default() };
        let answered = async {
            loop {
                match self.whole(&script).await.unwrap_or_else(nothing) {
                    Seen::Whole(answer) if answer.status == 503 => tick(Duration::from_millis(10)).await,
                    seen => break seen,
                }
            }
        };
        let seen = timeout(PATIENCE, answered).await.expect("the host should have room again");
        Sent { script, client: "last", seen }
    }

    async fn play(&mut self, client: &str, mut scripts: Vec<Script>) -> Vec<(Script, Seen)> {
        match client {
            "streams" => return self.streams(scripts, &[0, 0, 0, 1, 2]).await,
            "resets" => return self.streams(scripts, &[1]).await,
            "pipelined" => return self.pipelined(scripts.into_iter().map(Script::whole).collect()).await,
            "kept" => return self.kept(scripts.into_iter().map(Script::whole).collect()).await,
            _ => {}
        }
        let script = scripts.remove(0);
        let script = match client {
            // Small, so that it has been taken whole before a response could come.
            "echo" => Script { size: script.size.min(1000), ..script.echo() },
            "left in the request" => Script { size: script.size.max(1000), ..script.echo() },
            "left in the response" if self.rng.bool() => script.endless(),
            "unread" => script.endless(),
            _ => script,
        };
        let seen = match client {
            "http2" => {
                let script = if self.rng.bool() { script } else { script.echo() };
                let seen = self.http2(&script).await.unwrap_or_else(nothing);
                return vec![(script, seen)];
            }
            "whole" | "echo" => self.whole(&script).await,
            "unread" => self.unread(&script).await,
            "slow" => self.slow(&script).await,
            "left in the response" => self.leaves_in_response(&script).await,
            "garbage" => {
                _ = self.garbage().await;
                return Vec::new();
            }
            _ => self.leaves(client, &script).await,
        };
        vec![(script, seen.unwrap_or_else(nothing))]
    }

    async fn connect(&self) -> anyhow::Result<TcpStream> {
        Ok(TcpStream::connect(self.address).await?)
    }

    async fn http1(&self) -> anyhow::Result<http1::SendRequest<Full<Bytes>>> {
        let (sender, connection) = http1::handshake(TokioIo::new(self.connect().await?)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    fn request(&self, script: &Script) -> Request<Full<Bytes>> {
        let body = if script.body == "echo" { script.content() } else { Vec::new() };
        let method = if body.is_empty() { "GET" } else { "POST" };
        let uri = format!("http://{}{}", self.address, script.path());
        let request = Request::builder().method(method).uri(uri).header("traceparent", script.traceparent());
        let request = request.header(header::HOST, self.address.to_string());
        request.body(Full::from(body)).expect("the request should be one")
    }

    async fn whole(&self, script: &Script) -> anyhow::Result<Seen> {
        let mut sender = self.http1().await?;
        let response = sender.send_request(self.request(script)).await?;
        Ok(read(response, None).await)
    }

    async fn http2(&self, script: &Script) -> anyhow::Result<Seen> {
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(self.connect().await?)).await?;
        tokio::spawn(connection);
        Ok(read(sender.send_request(self.request(script)).await?, None).await)
    }

    /// Reads with a pause after each piece.
    async fn slow(&self, script: &Script) -> anyhow::Result<Seen> {
        let mut sender = self.http1().await?;
        Ok(read(sender.send_request(self.request(script)).await?, Some(interval(Duration::from_millis(2)))).await)
    }

    /// Takes one response after the other from one connection, for as long as the host keeps it.
    async fn kept(&self, scripts: Vec<Script>) -> Vec<(Script, Seen)> {
        let mut all = Vec::new();
        let mut sender = match self.http1().await {
            Ok(sender) => sender,
            Err(error) => return scripts.into_iter().take(1).map(|script| (script, nothing(&error))).collect(),
        };
        for script in scripts {
            let seen = match sender.send_request(self.request(&script)).await {
                Ok(response) => read(response, None).await,
                Err(error) => nothing(error),
            };
            let goes_on = matches!(seen, Seen::Whole(_)) && sender.ready().await.is_ok();
            all.push((script, seen));
            if !goes_on {
                break;
            }
        }
        all
    }

    /// Opens some streams of one HTTP/2 connection at once. `fates` says what happens to each: 0 is read, 1 is reset
    /// before the response, and 2 is reset within the response.
    async fn streams(&mut self, scripts: Vec<Script>, fates: &[u8]) -> Vec<(Script, Seen)> {
        let connected = async {
            let io = TokioIo::new(self.connect().await?);
            anyhow::Ok(http2::handshake(TokioExecutor::new(), io).await?)
        };
        let (sender, connection) = match connected.await {
            Ok(connected) => connected,
            Err(error) => return scripts.into_iter().take(1).map(|script| (script, nothing(&error))).collect(),
        };
        tokio::spawn(connection);
        let fates: Vec<_> = scripts.iter().map(|_| pick(&mut self.rng, fates)).collect();
        let streams = scripts.into_iter().zip(fates).map(|(script, fate)| {
            let (mut sender, request) = (sender.clone(), self.request(&script));
            async move {
                let mut response = std::pin::pin!(sender.send_request(request));
                if fate == 1 {
                    // Sent, or not even that.
                    _ = timeout(Duration::from_millis(1), &mut response).await;
                    return (script, Seen::Left);
                }
                let seen = match response.await {
                    Ok(response) if fate == 2 => {
                        _ = response.into_body().frame().await;
                        Seen::Left
                    }
                    Ok(response) => read(response, None).await,
                    Err(error) => nothing(error),
                };
                (script, seen)
            }
        });
        join_all(streams).await
    }

    /// Sends all requests before the first response.
    async fn pipelined(&self, scripts: Vec<Script>) -> Vec<(Script, Seen)> {
        let mut seen = Vec::new();
        let talk = async {
            let mut stream = self.connect().await?;
            let requests: String = scripts.iter().map(|script| self.text(script)).collect();
            stream.write_all(requests.as_bytes()).await?;
            for _ in &scripts {
                seen.push(Seen::Whole(answer(&mut stream).await?));
            }
            anyhow::Ok(())
        };
        if let Err(error) = talk.await {
            seen.push(nothing(error));
        }
        // Behind a response that did not come nothing was asked, as far as this client knows.
        seen.resize_with(scripts.len(), || Seen::Left);
        scripts.into_iter().zip(seen).collect()
    }

    /// A GET request by hand.
    fn text(&self, script: &Script) -> String {
        let (path, parent) = (script.path(), script.traceparent());
        format!("GET {path} HTTP/1.1\r\nhost: test\r\ntraceparent: {parent}\r\n\r\n")
    }

    /// Reads the response headers and nothing of the body. Waits for longer than the round's `send-timeout`, if that is
    /// at most a second.
    async fn unread(&self, script: &Script) -> anyhow::Result<Seen> {
        let mut sender = self.http1().await?;
        let _response = sender.send_request(self.request(script)).await?;
        tick(Duration::from_millis(self.limits.send_timeout.min(1000) + 500)).await;
        Ok(Seen::Left)
    }

    async fn leaves_in_response(&mut self, script: &Script) -> anyhow::Result<Seen> {
        let mut sender = self.http1().await?;
        let mut body = sender.send_request(self.request(script)).await?.into_body();
        for _ in 0..self.rng.usize(..20) {
            _ = body.frame().await;
        }
        Ok(Seen::Left)
    }

    /// Leaves amid the request or after it, and closes or breaks the connection.
    async fn leaves(&mut self, client: &str, script: &Script) -> anyhow::Result<Seen> {
        let mut stream = self.connect().await?;
        let mut text = self.text(script);
        if client == "left in the request" {
            text = text.replacen("GET", "POST", 1);
            text.truncate(text.len() - 2);
            text.push_str(&format!("content-length: {}\r\n\r\n", script.size));
            let body = String::from_utf8(script.content())?;
            text.push_str(&body[..self.rng.usize(..body.len())]);
        }
        stream.write_all(text.as_bytes()).await?;
        if self.rng.bool() {
            // As long as a handler may take.
            tick(Duration::from_millis(self.rng.u64(..5))).await;
        }
        if self.rng.bool() {
            stream.set_zero_linger()?;
        }
        Ok(Seen::Left)
    }

    async fn garbage(&mut self) -> anyhow::Result<()> {
        let mut stream = self.connect().await?;
        let bytes: Vec<u8> = (0..self.rng.usize(..2000)).map(|_| self.rng.u8(..)).collect();
        stream.write_all(&bytes).await?;
        stream.shutdown().await?;
        stream.read_to_end(&mut Vec::new()).await?;
        Ok(())
    }
}

fn nothing(error: impl std::fmt::Display) -> Seen {
    Seen::Nothing(format!("{error:#}"))
}

/// Waits until this time has passed.
async fn tick(time: Duration) {
    let mut ticks = interval(time.max(Duration::from_millis(1)));
    ticks.tick().await;
    ticks.tick().await;
}

async fn read(response: http::Response<Incoming>, mut pace: Option<Interval>) -> Seen {
    let (head, mut body) = response.into_parts();
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => whole.extend(frame.into_data().unwrap_or_default()),
            Err(_) => return Seen::Broken(head.status),
        }
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
    }
    let accepted = head.headers.get("accepted").and_then(|ids| Some(ids.to_str().ok()?.to_owned()));
    let retry_after = head.headers.contains_key(header::RETRY_AFTER);
    Seen::Whole(Answer { status: head.status, accepted, retry_after, body: whole.into() })
}

/// Reads one response of a known length from a connection that has more.
async fn answer(stream: &mut TcpStream) -> anyhow::Result<Answer> {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(stream.read_u8().await?);
    }
    let text = String::from_utf8(text)?;
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let length = field("content-length").map_or(Ok(0), str::parse)?;
    let status = text.split(' ').nth(1).map(str::parse).transpose()?.unwrap_or_default();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Answer {
        status,
        accepted: field("accepted").map(str::to_owned),
        retry_after: field("retry-after").is_some(),
        body: body.into(),
    })
}
