//! Sends a mail after the response: over a provider's HTTP API, or over SMTP. `POST /sign-up/EMAIL` and `POST /remind/EMAIL`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::post;
use bytes::Bytes;
use epilogue_sdk::{BackgroundTasks, EnqueueError, TaskContext, TaskOptions};
use serde_json::json;
use spin_sdk::http::{FullBody, IntoResponse, Request};
use spin_sdk::http_service;
use tower_service::Service;

static APP: LazyLock<Router> =
    LazyLock::new(|| Router::new().route("/sign-up/{email}", post(sign_up)).route("/remind/{email}", post(remind)));

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    APP.clone().call(request).await
}

// ANCHOR: api
async fn sign_up(Path(email): Path<String>, tasks: BackgroundTasks) -> Result<StatusCode, EnqueueError> {
    let options = TaskOptions::new().max_attempts(3).timeout(Duration::from_secs(10));
    tasks.add_task_with(welcome, (email,), options)?;
    Ok(StatusCode::ACCEPTED)
}

#[epilogue_sdk::task(name = "welcome")]
async fn welcome(email: String) -> anyhow::Result<()> {
    let mail = json!({
        "from": "hello@example.com",
        "to": email,
        "subject": "Welcome",
        "text": "Good to have you here.",
    });
    let context = TaskContext::current().context("this is a task")?;
    let request = axum::http::Request::post(std::env::var("MAIL_API")?)
        .header("authorization", format!("Bearer {}", std::env::var("MAIL_TOKEN")?))
        .header("content-type", "application/json")
        .header("idempotency-key", context.idempotency_key())
        .body(FullBody::new(Bytes::from(mail.to_string())))?;
    let response = spin_sdk::http::send(request).await?;
    ensure!(response.status().is_success(), "the mail API answered {}", response.status());
    Ok(())
}
// ANCHOR_END: api

async fn remind(Path(email): Path<String>, tasks: BackgroundTasks) -> Result<StatusCode, EnqueueError> {
    tasks.add_task(reminder, (email,))?;
    Ok(StatusCode::ACCEPTED)
}

// ANCHOR: smtp
#[epilogue_sdk::task(name = "reminder")]
fn reminder(email: String) -> anyhow::Result<()> {
    ensure!(!email.contains(char::is_control), "this is no address");
    let mut server = Smtp::connect(&std::env::var("SMTP_SERVER")?)?;
    server.command("EHLO example.com", "250")?;
    server.command("MAIL FROM:<hello@example.com>", "250")?;
    server.command(&format!("RCPT TO:<{email}>"), "250")?;
    server.command("DATA", "354")?;
    let mail = format!("From: hello@example.com\r\nTo: {email}\r\nSubject: Reminder\r\n\r\nSee you tomorrow.\r\n.");
    server.command(&mail, "250")?;
    server.command("QUIT", "221")
}

struct Smtp(BufReader<TcpStream>);

impl Smtp {
    fn connect(address: &str) -> anyhow::Result<Self> {
        let mut server = Self(BufReader::new(TcpStream::connect(address)?));
        server.expect("220")?;
        Ok(server)
    }

    fn command(&mut self, line: &str, code: &str) -> anyhow::Result<()> {
        self.0.get_mut().write_all(format!("{line}\r\n").as_bytes())?;
        self.expect(code)
    }

    /// Reads one reply. Each line except the last one has a `-` after the code.
    fn expect(&mut self, code: &str) -> anyhow::Result<()> {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line)?;
            ensure!(line.starts_with(code), "the mail server answered {line:?}");
            if !line[code.len()..].starts_with('-') {
                return Ok(());
            }
        }
    }
}
// ANCHOR_END: smtp
