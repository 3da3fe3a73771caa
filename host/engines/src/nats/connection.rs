//! The connection to the NATS server, and the calls over the connection. If a call finds that a stream or a consumer is
//! missing, the engine creates the stream or the consumer again.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::context::Context;
use async_nats::jetstream::message::{Acker, PublishMessage};
use async_nats::jetstream::{self, AckKind, Message, consumer};
use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use futures::StreamExt as _;
use percent_encoding::percent_decode_str;
use tokio::time;
use url::Url;

use super::streams::{AGAIN, Kind, Streams, TRIES};
use super::{Error, Nats, Result};

/// The time limit of a request for a message that is ready now. If no message is ready, the server keeps the request
/// until the time limit. Without a time limit, the server would answer the request when a message becomes ready, but no
/// worker would wait for this answer any more.
const AT_ONCE: Duration = Duration::from_millis(100);

/// The pause before the engine creates a missing stream or consumer again, so that the server can first finish the
/// removal of the old stream.
const SETTLE: Duration = Duration::from_millis(250);

/// The credentials for the NATS server. The type does not implement `Debug`, because credentials are secret.
#[derive(Clone)]
pub(super) enum Credentials {
    None,
    Token(String),
    User(String, String),
}

/// Splits a URL into the server's address and the credentials.
pub(super) fn parse(url: &str) -> Result<(ServerAddr, Credentials)> {
    let wrong = |error: &dyn Display| {
        let form = "nats://[user:password@ or token@]host[:port]";
        Error::Config(format!("the URL of the task engine is not of the form {form}: {error}"))
    };
    let mut url = Url::parse(url).map_err(|error| wrong(&error))?;
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let credentials = match (url.username(), url.password()) {
        ("", None) => Credentials::None,
        // As in NATS's own clients, a user name without a password is a token.
        (token, None) => Credentials::Token(decoded(token)),
        (user, Some(password)) => Credentials::User(decoded(user), decoded(password)),
    };
    // These calls fail if the URL has no host.
    if url.set_username("").is_err() || url.set_password(None).is_err() {
        return Err(wrong(&"it has no host"));
    }
    let address = ServerAddr::from_url(url).map_err(|error| wrong(&error))?;
    Ok((address, credentials))
}

#[derive(Debug)]
pub(super) struct Connected {
    pub(super) client: Client,
    pub(super) context: Context,
    pub(super) streams: Streams,
}

impl Nats {
    /// Returns the connection to the server. The first successful call opens the connection. If the connection breaks
    /// later, the NATS client reconnects by itself. While the connection is broken, calls fail immediately.
    pub(super) async fn connected(&self) -> Result<Arc<Connected>> {
        let made = async {
            let known = self.connected.read().await.clone();
            match known {
                Some(known) => Ok(known),
                None => self.first().await,
            }
        };
        let connected = time::timeout(self.options.timeout, made).await.unwrap_or_else(|_| Err(self.silent()))?;
        match connected.client.connection_state() {
            State::Connected => Ok(connected),
            _ => Err(Error::Unavailable("there is no connection to NATS".to_owned())),
        }
    }

    async fn first(&self) -> Result<Arc<Connected>> {
        let mut place = self.connected.write().await;
        if let Some(known) = &*place {
            return Ok(known.clone());
        }
        // This future is large and rarely needed, so it is in a box. Without the box, the future of each call would be
        // as large.
        let made = Arc::new(Box::pin(self.connect()).await?);
        *place = Some(made.clone());
        Ok(made)
    }

    async fn connect(&self) -> Result<Connected> {
        let options = match self.credentials.clone() {
            Credentials::None => ConnectOptions::new(),
            Credentials::Token(token) => ConnectOptions::with_token(token),
            Credentials::User(user, password) => ConnectOptions::with_user_and_password(user, password),
        };
        let timeout = self.options.timeout;
        let lost = self.lost.clone();
        let told = move |event: Event| {
            if let Event::Disconnected = event {
                lost.notify_waiters();
            }
            std::future::ready(())
        };
        let connected = options
            .name("epilogue")
            .event_callback(told)
            // The attempt to connect gets three fifths of the timeout. The engine needs the rest to find out why a
            // connection failed.
            .connection_timeout(timeout * 3 / 5)
            .request_timeout(Some(timeout))
            .ping_interval(timeout)
            .reconnect_delay_callback(|attempt| Duration::from_millis(100).saturating_mul(attempt.min(10) as u32))
            .connect(self.address.clone());
        let client = match connected.await {
            Ok(client) => client,
            Err(error) => return Err(self.not_connected(error).await),
        };
        let context = jetstream::new(client.clone());
        let opened = Streams::open(&context, &self.options).await;
        let streams = opened.map_err(|error| self.not_opened(error))?;
        Ok(Connected { client, context, streams })
    }

    /// Creates missing streams and consumers again. `seen` has the streams that the caller found missing. If another
    /// call has already replaced these streams, does nothing.
    pub(super) async fn heal(&self, seen: &Arc<Connected>) -> std::result::Result<(), async_nats::Error> {
        let mut place = self.connected.write().await;
        if place.as_ref().is_some_and(|now| !Arc::ptr_eq(now, seen)) {
            return Ok(());
        }
        // The engine waits before it creates a stream again. A server that is still removing the old stream would also
        // remove the files of the new stream (seen with NATS 2.9.10).
        time::sleep(SETTLE).await;
        let mut tries = 0;
        let streams = loop {
            tries += 1;
            match Box::pin(Streams::open(&seen.context, &self.options)).await {
                Ok(streams) => break streams,
                // The server refuses some requests while it is still removing the old stream.
                Err(_) if tries < TRIES => time::sleep(AGAIN).await,
                Err(error) => return Err(error),
            }
        };
        *place = Some(Arc::new(Connected { client: seen.client.clone(), context: seen.context.clone(), streams }));
        Ok(())
    }

    /// Runs `call` within the engine's time limit for a call. If a stream or the consumer is missing, creates the
    /// stream or the consumer, and runs `call` again.
    pub(super) async fn call<T, C, F>(&self, call: C) -> Result<T>
    where
        C: Fn(Arc<Connected>) -> F,
        F: Future<Output = std::result::Result<T, async_nats::Error>>,
    {
        let connected = self.connected().await?;
        let made = async {
            match call(connected.clone()).await {
                Err(error) if is_missing(&error) => {
                    self.heal(&connected).await?;
                    call(self.connected().await?).await
                }
                made => made,
            }
        };
        self.bounded(made).await
    }

    /// Publishes a message, and waits until the server has stored it.
    pub(super) async fn publish(&self, kind: Kind, id: &str, message: PublishMessage) -> Result<()> {
        let publish = |nats: Arc<Connected>| {
            let message = message.clone();
            async move { Ok(nats.context.send_publish(kind.subject(id), message).await?.await?) }
        };
        self.call(publish).await.map(drop)
    }

    /// Sends the acknowledgment `answer` for a message, and waits until the server confirms the acknowledgment. The
    /// server ignores an acknowledgment for a message that it no longer knows.
    pub(super) async fn answer(&self, acker: &Acker, answer: AckKind) -> Result<()> {
        self.bounded(acker.double_ack_with(answer)).await
    }

    /// Fetches one message from the queue. If no message comes within `wait`, returns `None`.
    pub(super) async fn fetch(&self, wait: Duration) -> Result<Option<Message>> {
        let connected = self.connected().await?;
        let workers = &connected.streams.workers;
        let fetched = async {
            let mut messages = if wait.is_zero() {
                workers.fetch().max_messages(1).expires(AT_ONCE).messages().await?
            } else {
                workers.batch().max_messages(1).expires(wait).messages().await?
            };
            messages.next().await.transpose()
        };
        let fetched = time::timeout(wait + AT_ONCE + self.options.timeout / 4, fetched);
        match self.within(wait + self.options.timeout, fetched).await? {
            Ok(Err(error)) if is_missing(&error) => self.bounded(self.heal(&connected)).await.map(|()| None),
            Ok(fetched) => fetched.map_err(|error| unavailable(&error)),
            // If the consumer is missing, the server does not answer (seen with NATS 2.9.10). The call of
            // `workers_info` creates the consumer again.
            Err(_) => self.workers_info().await.map(|_| None),
        }
    }

    pub(super) async fn workers_info(&self) -> Result<consumer::Info> {
        self.call(|nats| async move { Ok(nats.streams.workers.get_info().await?) }).await
    }

    pub(super) async fn bounded<T, E: Display>(
        &self,
        call: impl Future<Output = std::result::Result<T, E>>,
    ) -> Result<T> {
        self.within(self.options.timeout, call).await?.map_err(|error| unavailable(&error))
    }

    /// Waits for at most `time` until `call` returns. If the connection breaks, stops waiting and returns an error.
    async fn within<T>(&self, time: Duration, call: impl Future<Output = T>) -> Result<T> {
        tokio::select! {
            biased;
            answer = time::timeout(time, call) => answer.map_err(|_| self.silent()),
            () = self.lost.notified() => Err(Error::Unavailable("the connection to NATS was lost".to_owned())),
        }
    }

    pub(super) fn silent(&self) -> Error {
        Error::Unavailable(format!("no answer from NATS within {:?}", self.options.timeout))
    }
}

pub(super) fn unavailable(error: &dyn Display) -> Error {
    Error::Unavailable(format!("NATS: {error}"))
}

/// Returns true if an error means that a stream or the consumer is missing. Each kind of call has its own error type,
/// so this function looks for words in the error's text. Most of these words come from error messages of the server.
/// The words "no responders" come from the client, if no server listens to the subject.
fn is_missing(error: &async_nats::Error) -> bool {
    const WORDS: [&str; 7] = [
        "stream not found",
        "consumer not found",
        "no stream found",
        "no responders",
        "resource does not exist",
        "the stream: 503",
        "Consumer Deleted",
    ];
    let error = error.to_string();
    WORDS.iter().any(|word| error.contains(word))
}
