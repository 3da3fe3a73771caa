//! The JetStream streams, and the consumer through which workers get messages. If a stream or the consumer is missing,
//! the engine creates it.

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::context::{Context, CreateStreamError, CreateStreamErrorKind};
use async_nats::jetstream::stream::{Config, ConsumerError, ConsumerErrorKind, DiscardPolicy, RetentionPolicy, Stream};
use futures::TryStreamExt as _;
use tokio::time;

use crate::Options;

/// The largest number of times that the engine sends the same request to create a stream or a consumer. The server may
/// refuse such a request if another process creates the same stream or consumer at the same time.
pub(super) const TRIES: u32 = 50;
pub(super) const AGAIN: Duration = Duration::from_millis(20);

/// The number of ended batches that the engine remembers. A server that is killed forgets the acknowledgments of about
/// the last 0.1 s, and delivers the acknowledged batches again. The limit is a number of batches and not a time, so
/// that no record expires while a server is down.
pub(super) const REMEMBERED: i64 = 100_000;

/// One of the engine's four streams.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Ready,
    State,
    Done,
    Dead,
}

impl Kind {
    /// Returns the subject of a batch's messages. With the id `*`, the subject matches the messages of all batches.
    pub(super) fn subject(self, id: &str) -> String {
        let kind = match self {
            Self::Ready => "ready",
            Self::State => "state",
            Self::Done => "done",
            Self::Dead => "dead",
        };
        format!("epilogue.{kind}.{id}")
    }
}

#[derive(Debug)]
pub(super) struct Streams {
    ready: Stream,
    states: Stream,
    done: Stream,
    dead: Stream,
    pub(super) workers: PullConsumer,
}

impl Streams {
    pub(super) async fn open(context: &Context, options: &Options) -> Result<Self, async_nats::Error> {
        let stream = |name: &str, kind: Kind| Config {
            name: name.to_owned(),
            subjects: vec![kind.subject("*")],
            max_messages_per_subject: 1,
            // If an operator sets a limit, a full stream refuses new messages. By default, a full stream would remove
            // its oldest messages.
            discard: DiscardPolicy::New,
            ..Config::default()
        };
        let queue = Config {
            retention: RetentionPolicy::WorkQueue,
            // If an operator retries a batch, the queue may have two messages with the same subject.
            max_messages_per_subject: -1,
            duplicate_window: Duration::from_secs(120),
            ..stream("EPILOGUE", Kind::Ready)
        };
        let done =
            Config { max_messages: REMEMBERED, discard: DiscardPolicy::Old, ..stream("EPILOGUE_DONE", Kind::Done) };
        let states = get_or_make(context, stream("EPILOGUE_STATE", Kind::State)).await?;
        let done = get_or_make(context, done).await?;
        let dead = get_or_make(context, stream("EPILOGUE_DEAD", Kind::Dead)).await?;
        let mut tries = 0;
        loop {
            tries += 1;
            let mut ready = get_or_make(context, queue.clone()).await?;
            // If several processes create the queue at the same moment, some of them first see a wrong creation time.
            // So the engine reads the information about the queue again.
            ready.info().await?;
            match workers(&ready, options).await {
                Ok(workers) => return Ok(Self { ready, states, done, dead, workers }),
                Err(error) if tries < TRIES && is_another(&error) => remove_others(&ready).await?,
                Err(error) => return Err(error.into()),
            }
            time::sleep(AGAIN).await;
        }
    }

    pub(super) fn of(&self, kind: Kind) -> &Stream {
        match kind {
            Kind::Ready => &self.ready,
            Kind::State => &self.states,
            Kind::Done => &self.done,
            Kind::Dead => &self.dead,
        }
    }

    /// Returns the consumer's name. If the name has changed, the queue was lost and then created again.
    pub(super) fn consumer(&self) -> &str {
        &self.workers.cached_info().name
    }
}

/// Returns the name for the consumer of this queue. The name contains the queue's creation time. An acknowledgment
/// contains only the consumer's name and the number of a message in the queue. If a queue is lost and created again,
/// the numbers of its messages start at 1 again. If the consumers of the lost queue and the new queue had the same
/// name, an acknowledgment for a batch of the lost queue could remove a batch of the new queue that has not run.
fn name(ready: &Stream) -> String {
    format!("workers-{:x}", ready.cached_info().created.unix_timestamp_nanos())
}

async fn workers(ready: &Stream, options: &Options) -> Result<PullConsumer, ConsumerError> {
    let name = name(ready);
    let config = pull::Config {
        durable_name: Some(name.clone()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: options.visibility,
        // With a limit, the server would keep a message after too many deliveries, but never deliver the message again.
        max_deliver: -1,
        max_ack_pending: -1,
        ..pull::Config::default()
    };
    // `create_consumer` also changes an existing consumer, and so sets how long all leases last. So an operator's
    // command does not call this function.
    match options.operator {
        true => ready.get_or_create_consumer(&name, config).await,
        false => ready.create_consumer(config).await,
    }
}

/// Returns true if an error means that the queue already has a consumer with another name. A queue can have only one
/// consumer. The other consumer comes from an earlier version of the host, or from a process that has not noticed yet
/// that another process has created the queue again.
fn is_another(error: &ConsumerError) -> bool {
    let another = [ErrorCode::CONSUMER_WQ_MULTIPLE_UNFILTERED, ErrorCode::CONSUMER_WQ_CONSUMER_NOT_UNIQUE];
    matches!(error.kind(), ConsumerErrorKind::JetStream(error) if another.contains(&error.error_code()))
}

async fn remove_others(ready: &Stream) -> Result<(), async_nats::Error> {
    // The engine reads the queue again, because another process may have created the queue again.
    let mut ready = ready.clone();
    ready.info().await?;
    let right = name(&ready);
    let names: Vec<String> = ready.consumer_names().try_collect().await?;
    for other in names.iter().filter(|name| **name != right) {
        // Another process may have removed the consumer already.
        _ = ready.delete_consumer(other).await;
    }
    Ok(())
}

/// Gets a stream, or creates the stream if it does not exist. If several processes create the stream at the same
/// moment, the server refuses some of these requests, because another request has already taken the stream's subjects.
/// This function repeats a refused request.
async fn get_or_make(context: &Context, config: Config) -> Result<Stream, CreateStreamError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match context.get_or_create_stream(config.clone()).await {
            Err(error) if tries < TRIES && overlaps(&error) => time::sleep(AGAIN).await,
            made => return made,
        }
    }
}

fn overlaps(error: &CreateStreamError) -> bool {
    matches!(error.kind(), CreateStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_SUBJECT_OVERLAP)
}
