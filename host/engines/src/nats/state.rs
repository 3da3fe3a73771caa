//! The state of a batch, and the functions that read and write the state. The engine stores the states in a separate
//! stream, because the server cannot change the message of a batch.

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

/// The id of the messages with which the engine learns the server's time. The engine writes a message with this id, and
/// reads the time at which the server stored the message. No batch has this id.
const CLOCK: &str = "~";

/// The progress of a batch through its tasks, as the engine stores it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// The number of the batch's life that this state describes. A new life starts each time an operator retries the
    /// dead batch.
    #[serde(default)]
    pub(super) life: u32,
    /// The index of the first task that has not ended.
    pub(super) next: u32,
    /// The number of attempts of the task at `next` so far, including a running attempt.
    pub(super) attempt: u32,
    /// The name of the worker that holds the batch, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) worker: Option<String>,
    /// The unique id of the lease that wrote this state. If an operator removes the batch, the text is empty.
    #[serde(default)]
    pub(super) lease: String,
    /// The rest of the lease or of the delay at the time when the server stored this state, in milliseconds. Until this
    /// time has passed, no other worker can lease the batch.
    #[serde(default)]
    pub(super) wait_ms: u64,
    /// Says how the batch ends. If this value is set, no worker runs the batch any more, and the engine is about to
    /// remove the batch's message. If the process that wrote this value is killed, the next process that gets the
    /// batch's message ends the batch in the same way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fate: Option<Fate>,
}

impl Progress {
    /// Returns true if a worker holds the batch. If the worker has given the batch back or has begun to end the batch,
    /// the worker no longer holds the batch.
    pub(super) fn is_held(&self) -> bool {
        self.worker.is_some() && self.fate.is_none()
    }
}

/// The way in which a batch ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Fate {
    Done,
    /// The batch moves to the dead letter. The text is the reason.
    Dead(String),
    /// An operator removes the batch.
    Removed,
}

/// The record of a batch that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ended {
    /// The number of the batch's newest life that has ended. A new life starts each time an operator retries the dead
    /// batch.
    pub(super) life: u32,
    /// The id of the lease that ended the batch. If an operator removed the batch, the text is empty.
    pub(super) lease: String,
}

/// The stored state of a batch, as the engine has read it from the server.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) progress: Progress,
    pub(super) revision: u64,
    /// The time at which the server stored the state, as the time since 1970 by the server's clock.
    pub(super) at: Duration,
}

impl Known {
    /// Returns the time that must pass after `now` before another worker can lease the batch.
    pub(super) fn rest(&self, now: Duration) -> Duration {
        (self.at + Duration::from_millis(self.progress.wait_ms)).saturating_sub(now)
    }
}

impl Nats {
    /// Reads the state of a batch. If no state is stored, returns `None`.
    pub(super) async fn progress(&self, id: &str) -> Result<Option<Known>> {
        let Some(message) = self.last(Kind::State, id).await? else { return Ok(None) };
        Ok(Some(Known { progress: read(&message)?, revision: message.sequence, at: written(&message) }))
    }

    /// Writes the state of a batch, and returns the new revision. If another client has written the state since
    /// `revision`, writes nothing and returns `None`.
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

    /// Removes the state of a batch from the stream, if the state's revision number is not larger than `revision`. A
    /// removed state leaves nothing in the stream. If the states were in a key-value store of NATS, each deletion would
    /// leave a marker.
    pub(super) async fn forget(&self, id: &str, revision: u64) -> Result<()> {
        let purge = |nats: Arc<Connected>| async move {
            let states = nats.streams.of(Kind::State);
            Ok(states.purge().filter(Kind::State.subject(id)).sequence(revision + 1).await?)
        };
        self.call(purge).await.map(drop)
    }

    /// Returns the record that a batch has ended. If the batch has not ended, or if the stream has dropped the record
    /// because it keeps only the newest records, returns `None`.
    pub(super) async fn ended(&self, id: &str) -> Result<Option<Ended>> {
        self.last(Kind::Done, id).await?.as_ref().map(read).transpose()
    }

    /// Records that a batch has ended.
    pub(super) async fn remember(&self, id: &str, ended: &Ended) -> Result<()> {
        let payload = serde_json::to_vec(ended).map_err(|error| Error::Corrupt(error.to_string()))?;
        self.publish(Kind::Done, id, PublishMessage::build().payload(payload.into())).await
    }

    /// Returns the server's time, since 1970. The engine takes the time from the timestamp of a write, because the
    /// clocks of the workers' machines may differ.
    pub(super) async fn server_time(&self) -> Result<Duration> {
        self.publish(Kind::State, CLOCK, PublishMessage::build()).await?;
        Ok(self.last(Kind::State, CLOCK).await?.as_ref().map(written).unwrap_or_default())
    }

    /// Returns the last message with this id in a stream of this kind.
    pub(super) async fn last(&self, kind: Kind, id: &str) -> Result<Option<StreamMessage>> {
        let get = |nats: Arc<Connected>| async move {
            let stream = nats.streams.of(kind);
            found(stream.raw_message_builder().last_by_subject(kind.subject(id)).send().await)
        };
        self.call(get).await
    }

    /// Returns the first message whose number is `sequence` or larger, in a stream of this kind.
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

/// Returns the time at which the server stored a message, as the time since 1970 by the server's clock.
fn written(message: &StreamMessage) -> Duration {
    since_1970(message.time.unix_timestamp_nanos())
}

fn since_1970(nanos: i128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or_default())
}

/// Returns true if the state in this message says that the batch is delayed at the time `now`.
pub(super) fn is_delayed(message: &Message, now: Duration) -> bool {
    let (Ok(progress), Ok(info)) = (serde_json::from_slice::<Progress>(&message.payload), message.info()) else {
        return false;
    };
    let free = progress.worker.is_none() && progress.fate.is_none();
    let known =
        Known { progress, revision: info.stream_sequence, at: since_1970(info.published.unix_timestamp_nanos()) };
    free && !known.rest(now).is_zero()
}

/// Returns this machine's time, since 1970.
pub(super) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
