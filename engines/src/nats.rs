//! NATS JetStream: for many machines, where NATS is at hand.
//!
//! The server delivers a message to one worker, and again if it is not confirmed in time. What it does not keep is kept beside
//! the message: the next task, its attempts, and whose lease it is. Each change of a leased batch first writes that, and the
//! server refuses the write if somebody else has written since: JetStream by itself takes a confirmation from anyone.
//!
//! | stream | subjects | |
//! |---|---|---|
//! | `EPILOGUE` | `epilogue.ready.ID` | a work queue; its consumer is `workers` |
//! | `EPILOGUE_STATE` | `epilogue.state.SEQUENCE` | [`state::Progress`] of each message that was delivered |
//! | `EPILOGUE_DEAD` | `epilogue.dead.ID` | the dead letter |
//!
//! They are made with one replica if they do not exist; an operator can make them before, or change them, for a cluster. A
//! repeated enqueue is known as such for two minutes. A batch is at most as large as the server's `max_payload`.

mod admin;
mod state;
mod streams;

use std::fmt::{self, Display};
use std::time::Duration;

use async_nats::connection::State as Connection;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::context::{Context, PublishErrorKind};
use async_nats::jetstream::message::{Acker, PublishMessage};
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use async_nats::jetstream::{self, AckKind, Message};
use async_nats::{Client, ConnectOptions, ServerAddr};
use async_trait::async_trait;
use futures::StreamExt as _;
use percent_encoding::percent_decode_str;
use tokio::sync::OnceCell;
use tokio::time::{self, Instant};

use crate::batch::within_limit;
use crate::lease::Token;
use crate::{Batch, Counts, Engine, Entry, Error, Lease, Options, Result, State};

use state::{Fate, Progress};
use streams::Streams;

/// Where a batch begins that was dead before.
const NEXT: &str = "Epilogue-Next";
/// Of a dead batch.
const ATTEMPT: &str = "Epilogue-Attempt";
/// Of a dead batch.
const WHY: &str = "Epilogue-Why";

/// How long a request that shall not wait may wait. When others take the last messages at the same moment the server keeps
/// such a request for ever, and would later deliver a message to nobody.
const AT_ONCE: Duration = Duration::from_millis(100);

/// What headers may take of the server's `max_payload`.
const HEADERS: usize = 4 << 10;

/// The engine `nats://`.
pub struct Nats {
    address: ServerAddr,
    options: Options,
    connected: OnceCell<Connected>,
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nats")
            .field("host", &self.address.host())
            .field("port", &self.address.port())
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Connected {
    client: Client,
    context: Context,
    ready: Stream,
    states: Stream,
    dead: Stream,
    workers: PullConsumer,
}

/// A message that was delivered to this process, and the revision of what it wrote of it.
pub(crate) struct Held {
    acker: Acker,
    sequence: u64,
    revision: u64,
    progress: Progress,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("sequence", &self.sequence)
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

impl Nats {
    /// Prepares the engine; the first call connects.
    ///
    /// # Errors
    /// [`Error::Config`] for a URL that can't be used.
    pub fn new(url: &str, options: Options) -> Result<Self> {
        let form = "nats://[user:password@]host[:port]";
        let address = url
            .parse()
            .map_err(|error| Error::Config(format!("the URL of the task engine is not of the form {form}: {error}")))?;
        Ok(Self { address, options, connected: OnceCell::new() })
    }

    /// The connection. It is made by the first call that can; then the client reconnects by itself, and calls that come
    /// meanwhile fail at once.
    async fn connected(&self) -> Result<&Connected> {
        let connected = self.connected.get_or_try_init(|| self.bounded(self.connect())).await?;
        match connected.client.connection_state() {
            Connection::Connected => Ok(connected),
            _ => Err(Error::Unavailable("there is no connection to NATS".to_owned())),
        }
    }

    async fn connect(&self) -> std::result::Result<Connected, async_nats::Error> {
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let mut options = ConnectOptions::new();
        // The client does not read them from the URL.
        if let Some(user) = self.address.username() {
            let password = self.address.password().unwrap_or_default();
            options = options.user_and_password(decoded(user), decoded(password));
        }
        let client = options
            .name("epilogue")
            .connection_timeout(self.options.timeout)
            .request_timeout(Some(self.options.timeout))
            .ping_interval(self.options.timeout)
            .reconnect_delay_callback(|attempt| Duration::from_millis(100).saturating_mul(attempt.min(10) as u32))
            .connect(self.address.clone())
            .await?;
        let context = jetstream::new(client.clone());
        let Streams { ready, states, dead, workers } = Streams::open(&context, &self.options).await?;
        Ok(Connected { client, context, ready, states, dead, workers })
    }

    async fn bounded<T, E: Display>(&self, call: impl Future<Output = std::result::Result<T, E>>) -> Result<T> {
        match time::timeout(self.options.timeout, call).await {
            Ok(result) => result.map_err(|error| Error::Unavailable(format!("NATS: {error}"))),
            Err(_) => Err(Error::Unavailable(format!("no answer from NATS within {:?}", self.options.timeout))),
        }
    }

    /// Publishes, and waits until it is stored.
    async fn publish(&self, subject: String, message: PublishMessage) -> Result<()> {
        let connected = self.connected().await?;
        self.bounded(async { connected.context.send_publish(subject, message).await?.await }).await.map(drop)
    }

    async fn publish_dead(&self, id: &str, envelope: Vec<u8>, progress: &Progress, why: &str) -> Result<()> {
        // A header is one line.
        let why: String = why.chars().map(|c| if c.is_control() { ' ' } else { c }).take(HEADERS / 8).collect();
        let message = PublishMessage::build()
            .payload(envelope.into())
            .header(NEXT, progress.next.to_string())
            .header(ATTEMPT, progress.attempt.to_string())
            .header(WHY, why);
        self.publish(format!("epilogue.dead.{id}"), message).await
    }

    async fn envelope(&self, batch: &Batch) -> Result<Vec<u8>> {
        let envelope = batch.to_envelope()?;
        within_limit(&envelope, self.connected().await?.client.max_payload().saturating_sub(HEADERS))?;
        Ok(envelope)
    }

    /// Takes one message, if there is one within `wait`.
    async fn fetch(&self, wait: Duration) -> Result<Option<Message>> {
        let connected = self.connected().await?;
        let fetched = async {
            let mut messages = if wait.is_zero() {
                connected.workers.fetch().max_messages(1).expires(AT_ONCE).messages().await?
            } else {
                connected.workers.batch().max_messages(1).expires(wait).messages().await?
            };
            messages.next().await.transpose()
        };
        match time::timeout(wait + self.options.timeout, fetched).await {
            Ok(fetched) => fetched.map_err(|error| Error::Unavailable(format!("NATS: {error}"))),
            Err(_) => Err(Error::Unavailable(format!("no answer from NATS within {:?}", self.options.timeout))),
        }
    }

    /// Makes a delivered message a lease: counts the attempt, and fences off who held it before. None if it is over.
    async fn accept(&self, worker: &str, message: Message) -> Result<Option<Lease>> {
        let (sequence, redelivered) = match message.info() {
            Ok(info) => (info.stream_sequence, info.delivered > 1),
            Err(error) => return Err(Error::Unavailable(format!("NATS: {error}"))),
        };
        let id = message.subject.rsplit('.').next().unwrap_or_default().to_owned();
        let begin = header(message.headers.as_ref(), NEXT);
        let (message, acker) = message.split();
        loop {
            let known = self.progress(sequence).await?;
            let fresh = known.is_none();
            let (mut progress, revision) = known.unwrap_or((Progress { next: begin, ..Progress::default() }, 0));
            if progress.fate.is_none() {
                progress.attempt += 1;
                progress.worker = Some(worker.to_owned());
                progress.due = None;
            }
            let Some(revision) = self.write(sequence, revision, &progress).await? else { continue };
            let mut held = Held { acker, sequence, revision, progress };
            // The last owner may have ended it, and forgotten it, since it was delivered.
            if redelivered && fresh && self.message(sequence).await?.is_none() {
                self.forget(sequence).await?;
                return Ok(None);
            }
            // The last owner was killed while it ended the batch.
            if held.progress.fate.is_some() {
                self.end(&id, &held, &held.progress).await?;
                return Ok(None);
            }
            return match Batch::from_envelope(&message.payload) {
                Ok(batch) => {
                    let Progress { next, attempt, .. } = held.progress;
                    Ok(Some(Lease { batch, next, attempt, token: Token::Message(Box::new(held)) }))
                }
                Err(error) => {
                    held.progress.fate = Some(Fate::Dead(error.to_string()));
                    held.revision = self.rewrite(&held, &held.progress).await?;
                    self.end(&id, &held, &held.progress).await?;
                    Ok(None)
                }
            };
        }
    }

    /// Writes what is kept of a lease, if it still stands. The new revision.
    async fn rewrite(&self, held: &Held, progress: &Progress) -> Result<u64> {
        self.write(held.sequence, held.revision, progress).await?.ok_or(Error::LostLease)
    }

    /// Does what the fate of a batch says. It may be repeated.
    async fn end(&self, id: &str, held: &Held, progress: &Progress) -> Result<()> {
        if let Some(Fate::Dead(why)) = &progress.fate
            && let Some(message) = self.message(held.sequence).await?
        {
            self.publish_dead(id, message.payload.to_vec(), progress, why).await?;
        }
        self.bounded(held.acker.double_ack()).await?;
        self.forget(held.sequence).await
    }

    async fn finish(&self, lease: &Lease, fate: Fate) -> Result<()> {
        let held = held(&lease.token)?;
        let progress = Progress { fate: Some(fate), ..held.progress.clone() };
        self.rewrite(held, &progress).await?;
        self.end(&lease.batch.id, held, &progress).await
    }

    async fn give_back(&self, lease: &Lease, after: Duration, attempt: u32) -> Result<()> {
        let held = held(&lease.token)?;
        let due = Some(state::now() + u64::try_from(after.as_millis()).unwrap_or(u64::MAX / 2));
        let progress = Progress { attempt, due, worker: None, ..held.progress.clone() };
        self.rewrite(held, &progress).await?;
        let delay = (!after.is_zero()).then_some(after);
        self.bounded(held.acker.double_ack_with(AckKind::Nak(delay))).await
    }
}

#[async_trait]
impl Engine for Nats {
    async fn enqueue(&self, batch: &Batch) -> Result<()> {
        let envelope = self.envelope(batch).await?;
        let message = PublishMessage::build().payload(envelope.into()).message_id(&batch.id);
        self.publish(format!("epilogue.ready.{}", batch.id), message).await
    }

    async fn enqueue_dead(&self, batch: &Batch, why: &str) -> Result<()> {
        let envelope = self.envelope(batch).await?;
        self.publish_dead(&batch.id, envelope, &Progress::default(), why).await
    }

    async fn lease(&self, worker: &str, wait: Duration) -> Result<Option<Lease>> {
        // A lease begins when the server sends the message, so it is asked in short turns.
        let turn = self.options.visibility / 4;
        let end = Instant::now() + wait;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.fetch(left.min(turn)).await? {
                Some(message) => {
                    if let Some(lease) = self.accept(worker, message).await? {
                        return Ok(Some(lease));
                    }
                }
                None if left.is_zero() => return Ok(None),
                None => {}
            }
        }
    }

    async fn extend(&self, lease: &Lease) -> Result<()> {
        let held = held(&lease.token)?;
        match self.progress(held.sequence).await? {
            Some((_, revision)) if revision == held.revision => {}
            _ => return Err(Error::LostLease),
        }
        self.bounded(held.acker.double_ack_with(AckKind::Progress)).await
    }

    async fn checkpoint(&self, lease: &mut Lease, next: u32) -> Result<()> {
        let held = match &mut lease.token {
            Token::Message(held) => held,
            _ => return Err(Error::LostLease),
        };
        let progress = Progress { next, attempt: 1, ..held.progress.clone() };
        held.revision = self.rewrite(held, &progress).await?;
        held.progress = progress;
        (lease.next, lease.attempt) = (next, 1);
        self.bounded(held.acker.double_ack_with(AckKind::Progress)).await
    }

    async fn ack(&self, lease: &Lease) -> Result<()> {
        self.finish(lease, Fate::Done).await
    }

    async fn retry(&self, lease: &Lease, after: Duration) -> Result<()> {
        self.give_back(lease, after, lease.attempt).await
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        self.give_back(lease, Duration::ZERO, lease.attempt.saturating_sub(1)).await
    }

    async fn bury(&self, lease: &Lease, why: &str) -> Result<()> {
        self.finish(lease, Fate::Dead(why.to_owned())).await
    }

    async fn list(&self, state: Option<State>, limit: usize) -> Result<Vec<Entry>> {
        self.list_entries(state, limit).await
    }

    async fn show(&self, id: &str) -> Result<Option<Entry>> {
        self.show_entry(id).await
    }

    async fn retry_dead(&self, id: &str) -> Result<bool> {
        self.retry_dead_entry(id).await
    }

    async fn remove(&self, id: &str) -> Result<bool> {
        self.remove_entry(id).await
    }

    async fn counts(&self) -> Result<Counts> {
        self.count_entries().await
    }
}

fn held(token: &Token) -> Result<&Held> {
    match token {
        Token::Message(held) => Ok(held),
        _ => Err(Error::LostLease),
    }
}

/// A header's number, or zero.
fn header(headers: Option<&async_nats::HeaderMap>, name: &str) -> u32 {
    headers.and_then(|headers| headers.get(name)).and_then(|value| value.as_str().parse().ok()).unwrap_or_default()
}
