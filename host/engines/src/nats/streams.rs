//! The streams, and the workers' consumer. The engine creates those that are missing.

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::context::{Context, CreateStreamError, CreateStreamErrorKind};
use async_nats::jetstream::stream::{Config, ConsumerError, ConsumerErrorKind, DiscardPolicy, RetentionPolicy, Stream};
use futures::TryStreamExt as _;
use tokio::time;

use crate::Options;

/// How often a request is repeated if another process creates the same stream or consumer at the same time.
pub(super) const TRIES: u32 = 50;
pub(super) const AGAIN: Duration = Duration::from_millis(20);

/// How many ended batches are remembered. A killed server forgets the confirmations of about the last 0.1 s. The limit
/// is a number and not a time, so that nothing is forgotten while a server is down.
pub(super) const REMEMBERED: i64 = 100_000;

/// One of the streams.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Ready,
    State,
    Done,
    Dead,
}

impl Kind {
    /// The subject of a batch's messages, or of all batches' with `*`.
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
            // An operator may set a limit. New messages are refused then. By default, the oldest ones would be removed.
            discard: DiscardPolicy::New,
            ..Config::default()
        };
        let queue = Config {
            retention: RetentionPolicy::WorkQueue,
            // A batch that is retried by an operator has the same subject, and another message.
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
            // If several processes create it at the same moment, some of them get another creation time.
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

    /// The consumer's name. If it changes, the queue was lost and made again.
    pub(super) fn consumer(&self) -> &str {
        &self.workers.cached_info().name
    }
}

/// The name for the consumer of this queue. A confirmation contains the consumer's name and a number in the queue, and
/// the server checks nothing else. If a queue is lost and created again, the numbers start again. If both consumers had
/// the same name, the end of a batch of the old queue could remove a batch of the new queue that has not run.
fn name(ready: &Stream) -> String {
    format!("workers-{:x}", ready.cached_info().created.unix_timestamp_nanos())
}

async fn workers(ready: &Stream, options: &Options) -> Result<PullConsumer, ConsumerError> {
    let name = name(ready);
    let config = pull::Config {
        durable_name: Some(name.clone()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: options.visibility,
        // With a limit, the server would keep a message that was delivered too often, but not deliver it again.
        max_deliver: -1,
        max_ack_pending: -1,
        ..pull::Config::default()
    };
    // An existing consumer takes the given configuration, which sets how long the leases of all workers last.
    match options.operator {
        true => ready.get_or_create_consumer(&name, config).await,
        false => ready.create_consumer(config).await,
    }
}

/// Whether an error means that the queue already has a consumer with another name. A queue can have only one. An
/// earlier version created it, or a process that saw the queue before it was created again.
fn is_another(error: &ConsumerError) -> bool {
    let another = [ErrorCode::CONSUMER_WQ_MULTIPLE_UNFILTERED, ErrorCode::CONSUMER_WQ_CONSUMER_NOT_UNIQUE];
    matches!(error.kind(), ConsumerErrorKind::JetStream(error) if another.contains(&error.error_code()))
}

async fn remove_others(ready: &Stream) -> Result<(), async_nats::Error> {
    // Read again now, because it may have been created again.
    let mut ready = ready.clone();
    ready.info().await?;
    let right = name(&ready);
    let names: Vec<String> = ready.consumer_names().try_collect().await?;
    for other in names.iter().filter(|name| **name != right) {
        // Somebody else may have done so.
        _ = ready.delete_consumer(other).await;
    }
    Ok(())
}

/// Gets a stream, or creates it. If several processes create it at the same moment, the server refuses some of them
/// because the subjects are taken. These processes ask again.
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
