//! NATS JetStream: an engine for many machines.
//!
//! The server delivers a message to one worker. If the worker does not confirm it in time, the server delivers it
//! again. JetStream alone is not enough: it accepts a confirmation from any client, and a killed server forgets the
//! latest confirmations and extensions. So the engine keeps the state of each batch in its own streams. There, each
//! write is on disk before the server answers.
//!
//! | stream | subjects | |
//! |---|---|---|
//! | `EPILOGUE` | `epilogue.ready.ID` | a work queue; its consumer is `workers-` and the time when the stream was made |
//! | `EPILOGUE_STATE` | `epilogue.state.ID` | [`state::Progress`] of each batch that was delivered |
//! | `EPILOGUE_DONE` | `epilogue.done.ID` | [`state::Ended`] of the last [`streams::REMEMBERED`] batches that ended |
//! | `EPILOGUE_DEAD` | `epilogue.dead.ID` | the dead letter |
//!
//! The engine creates missing streams with one replica, also while it runs. For a cluster, an operator can create the
//! streams before, or change them. A batch is at most as large as the server's `max_payload`.
//!
//! **A lease** is a write of the batch's state. The server refuses a write if another client has written since the
//! writer's last write. So a worker that has lost its lease cannot change anything. The lease ends when the write is as
//! old as the visibility timeout, by the server's clock. If a message is delivered earlier, the engine puts it back for
//! the rest of the time.
//!
//! **The end** of a batch is written to its state, and then to `EPILOGUE_DONE`. After that, the engine removes the
//! state. If the message is delivered again, the engine finds it in `EPILOGUE_DONE`, and only confirms it.
//!
//! **Each retry of a dead batch starts a new life** of the batch, with a new message. The state and the end contain the
//! number of the life.

mod admin;
mod connection;
mod lease;
mod mistakes;
mod state;
mod streams;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::ServerAddr;
use async_nats::jetstream::message::PublishMessage;
use async_trait::async_trait;
use tokio::sync::{Notify, RwLock};
use tokio::time::Instant;

use crate::batch::within_limit;
use crate::{Batch, BatchState, Counts, Entry, Error, Lease, Options, Result, TaskEngine, Visitor};

use connection::{Connected, Credentials};
pub(crate) use lease::Held;
use lease::Holding;
use state::{Fate, Progress};
use streams::Kind;

/// The header with the life of the batch that a message belongs to: how often an operator has retried the batch.
const LIFE: &str = "Epilogue-Life";
/// The header with the first task of a batch that was retried from the dead letter.
const NEXT: &str = "Epilogue-Next";
/// The header of a dead batch with the attempts of its next task.
const ATTEMPT: &str = "Epilogue-Attempt";
/// The header of a dead batch with the reason why it is dead.
const WHY: &str = "Epilogue-Why";

/// How many bytes of the server's `max_payload` are reserved for headers.
const HEADERS: usize = 4 << 10;

/// The engine `nats://`.
pub struct Nats {
    /// The server's address, without the credentials, because the client logs it.
    address: ServerAddr,
    credentials: Credentials,
    options: Options,
    connected: RwLock<Option<Arc<Connected>>>,
    /// Notified when the connection breaks.
    lost: Arc<Notify>,
    holding: Holding,
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nats")
            .field("host", &self.address.host())
            .field("port", &self.address.port())
            .finish_non_exhaustive()
    }
}

impl Nats {
    /// Prepares the engine. The first call connects to the server.
    ///
    /// # Errors
    /// Returns [`Error::Config`] for a URL that cannot be used.
    pub fn new(url: &str, options: Options) -> Result<Self> {
        let (address, credentials) = connection::parse(url)?;
        Ok(Self {
            address,
            credentials,
            options,
            connected: RwLock::default(),
            lost: Arc::default(),
            holding: Holding::default(),
        })
    }

    async fn publish_dead(&self, id: &str, envelope: &[u8], progress: &Progress, why: &str) -> Result<()> {
        // A header is one line.
        let why: String = why.chars().map(|c| if c.is_control() { ' ' } else { c }).take(HEADERS / 8).collect();
        let message = PublishMessage::build()
            .payload(envelope.to_vec().into())
            .header(LIFE, progress.life.to_string())
            .header(NEXT, progress.next.to_string())
            .header(ATTEMPT, progress.attempt.to_string())
            .header(WHY, why);
        self.publish(Kind::Dead, id, message).await
    }

    async fn envelope(&self, batch: &Batch) -> Result<Vec<u8>> {
        let envelope = batch.to_envelope()?;
        within_limit(&envelope, self.connected().await?.client.max_payload().saturating_sub(HEADERS))?;
        Ok(envelope)
    }
}

#[async_trait]
impl TaskEngine for Nats {
    async fn enqueue(&self, batch: &Batch) -> Result<()> {
        let envelope = self.envelope(batch).await?;
        let message = PublishMessage::build().payload(envelope.into()).message_id(&batch.id);
        self.publish(Kind::Ready, &batch.id, message).await
    }

    async fn enqueue_dead(&self, batch: &Batch, why: &str) -> Result<()> {
        let envelope = self.envelope(batch).await?;
        self.publish_dead(&batch.id, &envelope, &Progress::default(), why).await
    }

    async fn lease(&self, worker: &str, wait: Duration) -> Result<Option<Lease>> {
        // A lease begins when the server sends the message, so each request to the server is short.
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
        self.hold_on(lease, |_| {}).await
    }

    async fn checkpoint(&self, lease: &mut Lease, next: u32) -> Result<()> {
        self.hold_on(lease, |progress| (progress.next, progress.attempt) = (next, 1)).await?;
        (lease.next, lease.attempt) = (next, 1);
        Ok(())
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

    async fn visit(&self, state: Option<BatchState>, limit: usize, each: Visitor<'_>) -> Result<()> {
        self.visit_entries(state, limit, each).await
    }

    async fn show(&self, id: &str) -> Result<Option<Entry>> {
        self.show_entry(id).await
    }

    async fn retry_dead(&self, id: &str) -> Result<Option<Entry>> {
        self.retry_dead_entry(id).await
    }

    async fn remove(&self, id: &str) -> Result<Option<Entry>> {
        self.remove_entry(id).await
    }

    async fn counts(&self) -> Result<Counts> {
        self.count_entries().await
    }

    // This is one request. Counting by state would read the state of each delivered batch.
    async fn backlog(&self) -> Result<u64> {
        let workers = self.workers_info().await?;
        Ok(workers.num_pending + workers.num_ack_pending as u64)
    }
}

/// The number in a header, or zero.
fn header(headers: Option<&async_nats::HeaderMap>, name: &str) -> u32 {
    headers.and_then(|headers| headers.get(name)).and_then(|value| value.as_str().parse().ok()).unwrap_or_default()
}

/// The id of the batch that a subject belongs to.
fn id_of(subject: &str) -> &str {
    subject.rsplit('.').next().unwrap_or_default()
}
