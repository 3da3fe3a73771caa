//! The state of a batch, which is stored beside its message, and how it is read and written.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::jetstream::Message;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::jetstream::stream::{RawMessageError, RawMessageErrorKind};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::connection::Connected;
use super::streams::Kind;
use super::{Error, Nats, Result};

/// The engine writes to this subject to read the server's time. No batch has this id.
const CLOCK: &str = "~";

/// How far a batch has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// The life of the batch that this state belongs to.
    #[serde(default)]
    pub(super) life: u32,
    /// The index of the first task that has not ended.
    pub(super) next: u32,
    /// How often the task at `next` was delivered.
    pub(super) attempt: u32,
    /// The worker that holds the batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) worker: Option<String>,
    /// The unique id of the lease that wrote this state.
    #[serde(default)]
    pub(super) lease: String,
    /// For how many milliseconds after the write the batch is reserved: its worker holds it, or it is delayed.
    #[serde(default)]
    pub(super) wait_ms: u64,
    /// How the batch ends, once this is decided. Its message is about to be removed. Any process that finds this state
    /// completes the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fate: Option<Fate>,
}

impl Progress {
    /// Whether a worker holds the lease, and has neither returned the batch nor begun to end it.
    pub(super) fn is_held(&self) -> bool {
        self.worker.is_some() && self.fate.is_none()
    }
}

/// How a batch ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Fate {
    Done,
    /// The batch becomes dead, for this reason.
    Dead(String),
    /// An operator removes the batch.
    Removed,
}

/// The record of a batch that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ended {
    /// The last life of the batch that is over.
    pub(super) life: u32,
    /// The id of the lease that ended the batch. Empty if an operator removed it.
    pub(super) lease: String,
}

/// The stored state of a batch.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) progress: Progress,
    pub(super) revision: u64,
    /// When the state was written, by the server's clock, since 1970.
    pub(super) at: Duration,
}

impl Known {
    /// How long the batch is still reserved at the time `now`.
    pub(super) fn rest(&self, now: Duration) -> Duration {
        (self.at + Duration::from_millis(self.progress.wait_ms)).saturating_sub(now)
    }
}

impl Nats {
    /// Reads the state of a batch. None if none is stored.
    pub(super) async fn progress(&self, id: &str) -> Result<Option<Known>> {
        let Some(message) = self.last(Kind::State, id).await? else { return Ok(None) };
        Ok(Some(Known { progress: read(&message)?, revision: message.sequence, at: written(&message) }))
    }

    /// Writes the state of a batch, unless another client has written it since `revision`. Returns the new revision, or
    /// none.
    pub(super) async fn write(&self, id: &str, revision: u64, progress: &Progress) -> Result<Option<u64>> {
        let payload = serde_json::to_vec(progress).map_err(|error| Error::Corrupt(error.to_string()))?;
        let write = |nats: Arc<Connected>| {
            let message =
                PublishMessage::build().payload(payload.clone().into()).expected_last_subject_sequence(revision);
            async move {
                match nats.context.send_publish(Kind::State.subject(id), message).await?.await {
                    Ok(stored) => Ok(Some(stored.sequence)),
                    Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(None),
                    Err(error) => Err(error.into()),
                }
            }
        };
        self.call(write).await
    }

    /// Removes the state of a batch up to `revision`. Unlike the deletion of a key, this leaves no marker in the
    /// stream.
    pub(super) async fn forget(&self, id: &str, revision: u64) -> Result<()> {
        let purge = |nats: Arc<Connected>| async move {
            let states = nats.streams.of(Kind::State);
            Ok(states.purge().filter(Kind::State.subject(id)).sequence(revision + 1).await?)
        };
        self.call(purge).await.map(drop)
    }

    /// The record of a batch's end. None if the batch has not ended, or ended too long ago.
    pub(super) async fn ended(&self, id: &str) -> Result<Option<Ended>> {
        self.last(Kind::Done, id).await?.as_ref().map(read).transpose()
    }

    /// Remembers that a batch has ended.
    pub(super) async fn remember(&self, id: &str, ended: &Ended) -> Result<()> {
        let payload = serde_json::to_vec(ended).map_err(|error| Error::Corrupt(error.to_string()))?;
        self.publish(Kind::Done, id, PublishMessage::build().payload(payload.into())).await
    }

    /// The server's time, since 1970. It is read from the timestamp of a write, because workers' clocks may differ.
    pub(super) async fn server_time(&self) -> Result<Duration> {
        self.publish(Kind::State, CLOCK, PublishMessage::build()).await?;
        Ok(self.last(Kind::State, CLOCK).await?.as_ref().map(written).unwrap_or_default())
    }

    /// The last message about a batch in a stream of this kind.
    pub(super) async fn last(&self, kind: Kind, id: &str) -> Result<Option<StreamMessage>> {
        let get = |nats: Arc<Connected>| async move {
            let stream = nats.streams.of(kind);
            found(stream.raw_message_builder().last_by_subject(kind.subject(id)).send().await)
        };
        self.call(get).await
    }

    /// The first message at `sequence` or behind it, in a stream of this kind.
    pub(super) async fn first_from(&self, kind: Kind, sequence: u64) -> Result<Option<StreamMessage>> {
        let get = |nats: Arc<Connected>| async move {
            found(nats.streams.of(kind).get_first_raw_message_by_subject(kind.subject("*"), sequence).await)
        };
        self.call(get).await
    }
}

fn found(
    message: std::result::Result<StreamMessage, RawMessageError>,
) -> std::result::Result<Option<StreamMessage>, async_nats::Error> {
    match message {
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        message => Ok(Some(message?)),
    }
}

fn read<T: DeserializeOwned>(message: &StreamMessage) -> Result<T> {
    serde_json::from_slice(&message.payload)
        .map_err(|error| Error::Corrupt(format!("the message {} in NATS cannot be read: {error}", message.subject)))
}

/// When a message was stored, by the server's clock, since 1970.
fn written(message: &StreamMessage) -> Duration {
    since_1970(message.time.unix_timestamp_nanos())
}

fn since_1970(nanos: i128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or_default())
}

/// Whether the batch of this state is delayed.
pub(super) fn is_delayed(message: &Message, now: Duration) -> bool {
    let (Ok(progress), Ok(info)) = (serde_json::from_slice::<Progress>(&message.payload), message.info()) else {
        return false;
    };
    let free = progress.worker.is_none() && progress.fate.is_none();
    let known =
        Known { progress, revision: info.stream_sequence, at: since_1970(info.published.unix_timestamp_nanos()) };
    free && !known.rest(now).is_zero()
}

/// This machine's time, since 1970.
pub(super) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
