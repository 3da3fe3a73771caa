//! The task engine that stores batches in NATS JetStream, for many machines.
//!
//! Each batch is one message of a stream. The server delivers a message to one worker. If the worker does not
//! acknowledge the message in time, the server delivers the message again. JetStream's acknowledgments alone are not
//! safe enough for leases. The server accepts an acknowledgment from any client, and a killed server forgets the latest
//! acknowledgments. So the engine keeps the state of each batch in additional streams. The server confirms a write to
//! an additional stream only after the server has written the data to its files.
//!
//! | stream | subjects | |
//! |---|---|---|
//! | `EPILOGUE` | `epilogue.ready.ID` | the work queue; the name of its consumer is `workers-` and the creation time of the stream |
//! | `EPILOGUE_STATE` | `epilogue.state.ID` | [`state::Progress`] of each batch that was delivered |
//! | `EPILOGUE_DONE` | `epilogue.done.ID` | [`state::Ended`] of the last [`streams::REMEMBERED`] batches that ended |
//! | `EPILOGUE_DEAD` | `epilogue.dead.ID` | the dead letter |
//!
//! The engine creates a missing stream with one replica, even if the stream disappears while the engine runs. To get
//! more replicas in a cluster, an operator can create the streams before the first start, or change the streams later.
//! The server's `max_payload`, minus 4 KiB for headers, limits the size of a batch's envelope.
//!
//! **To lease a batch**, the engine writes the batch's state. If another client has written the state since the
//! worker's last write, the server refuses the worker's next write. So a worker that has lost its lease cannot change
//! anything. The lease ends when the visibility timeout has passed since the last write of the state, by the server's
//! clock. If the server delivers a batch's message to another worker before the lease has ended, the engine returns the
//! message to the server. The engine also tells the server to deliver the message again when the lease ends.
//!
//! **To end a batch**, the engine first writes the end to the batch's state, then writes a record to `EPILOGUE_DONE`,
//! and at last removes the state. If the server delivers the message of an ended batch again, the engine finds the
//! batch in `EPILOGUE_DONE`. The engine acknowledges a message whose batch is in `EPILOGUE_DONE`, and does not run the
//! batch.
//!
//! **Each retry of a dead batch starts a new life** of the batch, with a new message. The state and the record in
//! `EPILOGUE_DONE` contain the number of the life, so that the engine can distinguish the lives of one batch.

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

/// The header with the number of the batch's life. The first life has the number 0, and each retry by an operator adds
/// 1.
const LIFE: &str = "Epilogue-Life";
/// The header with the index of the task at which a retried or dead batch continues.
const NEXT: &str = "Epilogue-Next";
/// The header of a dead batch with the number of attempts that the task at [`NEXT`] has had.
const ATTEMPT: &str = "Epilogue-Attempt";
/// The header of a dead batch with the reason why the batch is dead.
const WHY: &str = "Epilogue-Why";

/// The number of bytes of the server's `max_payload` that the engine reserves for headers.
const HEADERS: usize = 4 << 10;

/// The task engine with the URL `nats://`.
pub struct Nats {
    /// The server's address without user, password and token, because the NATS client logs the address.
    address: ServerAddr,
    credentials: Credentials,
    options: Options,
    connected: RwLock<Option<Arc<Connected>>>,
    /// Wakes waiting calls when the connection breaks.
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
    /// Creates the engine. The first call to the engine connects to the server.
    ///
    /// # Errors
    /// Returns [`Error::Config`] if the URL is not valid.
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
        // The reason goes into a header, and a header must be one line.
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
        // The time of a lease begins when the server sends the message. So each request to the server waits only for a
        // quarter of the visibility timeout.
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

    // This function needs only one request to the server. To count the batches in each state, the engine would have to
    // read the state of each delivered batch.
    async fn backlog(&self) -> Result<u64> {
        let workers = self.workers_info().await?;
        Ok(workers.num_pending + workers.num_ack_pending as u64)
    }
}

/// Returns the number in a header. If the header is missing or has no number, returns zero.
fn header(headers: Option<&async_nats::HeaderMap>, name: &str) -> u32 {
    headers.and_then(|headers| headers.get(name)).and_then(|value| value.as_str().parse().ok()).unwrap_or_default()
}

/// Returns the batch's id, which is the last part of a subject.
fn id_of(subject: &str) -> &str {
    subject.rsplit('.').next().unwrap_or_default()
}
