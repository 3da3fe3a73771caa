//! The pages of `docs/guide/how-to`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use epilogue::testing::{ResponseOutcome, TaskRecord, TaskState, TestHost};
use http_body_util::Full;

use crate::client::{Protocol, Reader, send, talk};
use crate::guests;
use crate::process::folder;
use crate::upstream::Upstream;

#[test]
fn a_mail_is_sent_over_an_api_after_the_response() {
    let api = Api::start([200, 500, 500, 500]);
    let host = TestHost::component(guests::GUIDE_EMAIL)
        .allow(&api.url())
        .env("MAIL_API", &format!("{}/send", api.url()))
        .env("MAIL_TOKEN", "secret")
        .start();
    let exchange = host.post("/sign-up/ada@example.com", "");
    assert_eq!(exchange.response().status(), 202);
    let mail = api.request();
    assert!(mail.starts_with("POST /send HTTP/1.1\r\n"), "{mail}");
    assert!(mail.contains("authorization: Bearer secret\r\n"), "{mail}");
    assert!(mail.contains(r#""to":"ada@example.com""#), "{mail}");
    assert_eq!(state(&exchange.drained().tasks[0]), ("succeeded", 1));

    let failing = host.post("/sign-up/ada@example.com", "");
    let record = failing.drained();
    assert_eq!(state(&record.tasks[0]), ("failed", 3));
    let error = record.tasks[0].error.clone().unwrap();
    assert!(error.contains("the mail API answered 500"), "{error}");
}

#[test]
fn a_mail_is_sent_over_smtp_after_the_response() {
    let (address, mails) = smtp_server();
    let host = TestHost::component(guests::GUIDE_EMAIL)
        .allow(&format!("tcp://{address}"))
        .env("SMTP_SERVER", &address.to_string())
        .start();
    let exchange = host.post("/remind/ada@example.com", "");
    assert_eq!(exchange.response().status(), 202);
    assert_eq!(state(&exchange.drained().tasks[0]), ("succeeded", 1));
    let mail = mails.recv_timeout(PATIENCE).unwrap();
    assert!(mail.contains("RCPT TO:<ada@example.com>\r\n") && mail.contains("\r\n\r\nSee you tomorrow.\r\n"), "{mail}");

    // An address cannot bring commands of its own.
    let forged = host.post("/remind/ada%0d%0aQUIT", "");
    assert_eq!(state(&forged.drained().tasks[0]), ("failed", 1));
}

#[test]
fn a_call_is_retried_with_the_same_idempotency_key() {
    let api = Api::start([503, 503, 200, 404]);
    let host = TestHost::component(guests::GUIDE_RETRY).allow(&api.url()).env("PAYMENT_API", &api.url()).start();
    let exchange = host.post("/orders/7", "");
    assert_eq!(exchange.response().status(), 202);
    assert_eq!(state(&exchange.drained().tasks[0]), ("succeeded", 3));
    let keys = [api.request(), api.request(), api.request()].map(|request| header(&request, "idempotency-key"));
    assert!(!keys[0].is_empty() && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    assert_eq!(host.stdout(), "order 7 is paid, at attempt 3\n");

    // What the API refuses is not retried.
    let refused = host.post("/orders/8", "");
    assert_eq!(state(&refused.drained().tasks[0]), ("succeeded", 1));
    assert_ne!(header(&api.request(), "idempotency-key"), keys[0]);
}

#[test]
fn a_durable_call_needs_an_engine() {
    let host = TestHost::start(guests::GUIDE_RETRY);
    assert_eq!(host.post("/durable-orders/7", "").response().status(), 500);

    let folder = tempfile::tempdir().unwrap();
    let api = Api::start([200]);
    let host = TestHost::component(guests::GUIDE_RETRY)
        .allow(&api.url())
        .env("PAYMENT_API", &api.url())
        .setting("engine", &format!("sqlite:{}", folder.path().join("tasks.db").display()))
        .setting("work", "true")
        .start();
    assert_eq!(host.post("/durable-orders/7", "").response().status(), 202);
    assert!(api.request().ends_with("order=7"));
}

#[test]
fn an_answer_is_streamed_and_stored_after_its_end() {
    let (address, pieces) = model();
    let host = TestHost::component(guests::GUIDE_LLM)
        .allow(&format!("http://{address}"))
        .env("MODEL_API", &format!("http://{address}/"))
        .start();
    talk(async {
        let request = http::Request::post("/ask").body(Full::from("why?")).unwrap();
        let response = send(host.address(), Protocol::Http1, request).await;
        let mut reader = Reader::new(response.into_body());
        // Each piece reaches the client before the model writes the next one.
        for piece in ["be", "cause"] {
            pieces.send(Some(piece)).unwrap();
            reader.until(piece).await;
            assert_eq!(host.stdout(), "");
        }
        pieces.send(None).unwrap();
        assert_eq!(reader.rest().await, "");
    });
    let record = host.next_record();
    assert_eq!(record.outcome, ResponseOutcome::Delivered);
    assert_eq!(record.tasks[0].state, TaskState::Succeeded);
    assert_eq!(host.stdout(), "storing 7 bytes, complete: true\n");
}

#[test]
fn an_answer_is_stored_as_far_as_it_came_when_the_client_leaves() {
    let (address, pieces) = model();
    let host = TestHost::component(guests::GUIDE_LLM)
        .allow(&format!("http://{address}"))
        .env("MODEL_API", &format!("http://{address}/"))
        .start();
    talk(async {
        let request = http::Request::post("/ask").body(Full::from("why?")).unwrap();
        let response = send(host.address(), Protocol::Http1, request).await;
        let mut reader = Reader::new(response.into_body());
        pieces.send(Some("be")).unwrap();
        reader.until("be").await;
    });
    // The guest notices at the next piece, or one later.
    let feeding = thread::spawn(move || {
        while pieces.send(Some("x")).is_ok() {
            thread::park_timeout(Duration::from_millis(2));
        }
    });
    let record = host.next_record();
    assert_eq!(record.outcome, ResponseOutcome::ClientGone);
    assert_eq!(record.tasks[0].state, TaskState::Succeeded);
    let stdout = host.stdout();
    assert!(stdout.starts_with("storing ") && stdout.ends_with("complete: false\n"), "{stdout}");
    // The guest has left the model too.
    feeding.join().unwrap();
}

#[test]
fn a_session_is_shared_by_handler_and_task_and_closed_after() {
    let host = TestHost::start(guests::GUIDE_SESSION);
    for _ in 0..2 {
        host.post("/", "").drained();
    }
    assert_eq!(host.stdout(), "open\ninsert the order\ninsert the history\nclose\n".repeat(2));
}

#[test]
fn a_job_is_started_with_a_token_and_told_of_the_shutdown() {
    let sweeper = Upstream::start();
    let mut host = TestHost::component(guests::GUIDE_JOB)
        .allow(&sweeper.url())
        .env("SWEEPER", &sweeper.url())
        .env("JOB_TOKEN", "secret")
        .start();
    assert_eq!(host.post("/jobs/clean-up", "").response().status(), 403);
    host.next_record();
    let request = |token: &str| {
        let request = http::Request::post("/jobs/clean-up").header("authorization", format!("Bearer {token}"));
        request.body(bytes::Bytes::new()).unwrap()
    };
    assert_eq!(host.send(request("guessed")).response().status(), 403);
    host.next_record();
    assert_eq!(host.send(request("secret")).response().status(), 202);
    sweeper.call().answer("done");
    let _held = sweeper.call();
    host.begin_shutdown(PATIENCE);
    let summary = host.shut_down(PATIENCE);
    assert_eq!(summary.abandoned, 0);
    let record = host.next_record();
    let error = record.tasks[0].error.clone().unwrap();
    assert!(error.starts_with("stopped at step 2 (StopReason::Shutdown), with "), "{error}");
    assert_eq!(host.stdout(), "step 1 is done\n");
}

#[test]
fn a_middleware_answers_by_itself_or_passes_on_and_has_tasks() {
    let folder = folder(&format!(
        "spin_manifest_version = 2\n[application]\nname = \"shop\"\n\
         [[trigger.http]]\nroute = \"/...\"\ncomponent = \"shop\"\n\
         dependencies.middleware = [{{ component = \"audit\" }}]\n\
         [component.shop]\nsource = {:?}\n[component.audit]\nsource = {:?}\n",
        guests::GUIDE_SESSION,
        guests::GUIDE_AUDIT
    ));
    let host = TestHost::manifest(folder.path().join("spin.toml")).start();
    let stranger = host.post("/orders", "");
    assert_eq!(stranger.response().status(), 401);
    assert!(stranger.drained().tasks.is_empty());

    let request = http::Request::post("/orders").header("user", "ada").body(bytes::Bytes::new()).unwrap();
    let exchange = host.send(request);
    assert_eq!(exchange.text(), "Thank you for your order");
    let tasks: Vec<_> =
        exchange.drained().tasks.iter().map(|task| format!("{} {}", task.component, task.name)).collect();
    assert_eq!(tasks, ["audit audit", "shop write-history"]);
    assert_eq!(host.stdout(), "open\ninsert the order\nada: POST /orders\ninsert the history\nclose\n");
}

const PATIENCE: Duration = Duration::from_secs(60);

fn state(task: &TaskRecord) -> (&str, u32) {
    (task.state.as_str(), task.attempt)
}

fn header(request: &str, name: &str) -> String {
    let line = request.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    line.unwrap_or_default().to_owned()
}

/// An API that answers with the given statuses, one a request.
struct Api {
    address: SocketAddr,
    requests: Receiver<String>,
}

impl Api {
    fn start<const N: usize>(statuses: [u16; N]) -> Self {
        let (address, listener) = listen();
        let (sender, requests) = mpsc::channel();
        thread::spawn(move || {
            for (stream, status) in listener.incoming().flatten().zip(statuses) {
                let request = read_request(&stream);
                _ = write!(&stream, "HTTP/1.1 {status} Status\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                _ = sender.send(request);
            }
        });
        Self { address, requests }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next request, with its body.
    fn request(&self) -> String {
        self.requests.recv_timeout(PATIENCE).expect("somebody should call")
    }
}

/// A language model that says what the test sends it, in pieces, until that is `None`.
fn model() -> (SocketAddr, mpsc::SyncSender<Option<&'static str>>) {
    let (address, listener) = listen();
    let (sender, pieces) = mpsc::sync_channel::<Option<&str>>(0);
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        assert!(read_request(&stream).ends_with("why?"));
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
        while let Ok(piece) = pieces.recv() {
            let piece = piece.unwrap_or_default();
            // The guest leaves if the client does.
            if write!(stream, "{:x}\r\n{piece}\r\n", piece.len()).is_err() || piece.is_empty() {
                break;
            }
        }
    });
    (address, sender)
}

/// A server for one mail after the other. It hands on what a client says before `QUIT`.
fn smtp_server() -> (SocketAddr, Receiver<String>) {
    let (address, listener) = listen();
    let (sender, mails) = mpsc::channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            let mut said = String::new();
            let mut in_mail = false;
            stream.write_all(b"220-localhost\r\n220 ready\r\n").unwrap();
            loop {
                let start = said.len();
                if lines.read_line(&mut said).unwrap_or(0) == 0 {
                    break;
                }
                let reply = match &said[start..] {
                    ".\r\n" => "250 queued",
                    _ if in_mail => continue,
                    "DATA\r\n" => "354 go on",
                    "QUIT\r\n" => "221 bye",
                    _ => "250 ok",
                };
                in_mail = reply.starts_with("354");
                write!(stream, "{reply}\r\n").unwrap();
            }
            _ = sender.send(said);
        }
    });
    (address, mails)
}

fn listen() -> (SocketAddr, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    (listener.local_addr().unwrap(), listener)
}

/// Reads one request, and its body without the marks of its chunks.
fn read_request(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    while reader.read_line(&mut request).unwrap() > 2 {}
    let mut take = |length: usize| {
        let mut part = vec![0; length];
        reader.read_exact(&mut part).unwrap();
        String::from_utf8(part).unwrap()
    };
    if let Ok(length) = header(&request, "content-length").parse() {
        let body = take(length);
        return request + body.as_str();
    }
    if header(&request, "transfer-encoding") == "chunked" {
        loop {
            let mut size = String::new();
            while !size.ends_with("\r\n") {
                size += &take(1);
            }
            let part = take(usize::from_str_radix(size.trim(), 16).unwrap() + 2);
            if part == "\r\n" {
                break;
            }
            request += part.trim_end_matches("\r\n");
        }
    }
    request
}
