//! What is kept beside a message, and how it is read and written.

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

/// The subject that is written to learn the server's time. It is no batch's id.
const CLOCK: &str = "~";

/// How far a batch has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Of which life of the batch this is.
    #[serde(default)]
    pub(super) life: u32,
    /// The first task that has not ended.
    pub(super) next: u32,
    /// How often it was delivered.
    pub(super) attempt: u32,
    /// Who holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) worker: Option<String>,
    /// The lease that wrote this, which no other has.
    #[serde(default)]
    pub(super) lease: String,
    /// For so many milliseconds from the writing nobody else gets it: its worker holds it, or it was given back for later.
    #[serde(default)]
    pub(super) wait_ms: u64,
    /// It is over, and the message is about to go. Whoever finds it so brings that to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fate: Option<Fate>,
}

impl Progress {
    /// Whether the lease is held, and not given back or at its end.
    pub(super) fn is_held(&self) -> bool {
        self.worker.is_some() && self.fate.is_none()
    }
}

/// How a batch ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Fate {
    Done,
    /// Because of this.
    Dead(String),
    /// By an operator.
    Removed,
}

/// What is remembered of a batch that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ended {
    /// This life of the batch is over, and those before it.
    pub(super) life: u32,
    /// The lease that ended it; none if an operator removed it.
    pub(super) lease: String,
}

/// What is stored of a batch.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) progress: Progress,
    pub(super) revision: u64,
    /// When it was written, by the server's clock, since 1970.
    pub(super) at: Duration,
}

impl Known {
    /// How long nobody else gets the batch, at this time.
    pub(super) fn rest(&self, now: Duration) -> Duration {
        (self.at + Duration::from_millis(self.progress.wait_ms)).saturating_sub(now)
    }
}

impl Nats {
    /// What is known of a batch.
    pub(super) async fn progress(&self, id: &str) -> Result<Option<Known>> {
        let Some(message) = self.last(Kind::State, id).await? else { return Ok(None) };
        Ok(Some(Known { progress: read(&message)?, revision: message.sequence, at: written(&message) }))
    }

    /// Writes what is known, unless somebody else has written since `revision`. The new revision.
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

    /// Removes what is known up to `revision`. Unlike a key's deletion this leaves nothing behind.
    pub(super) async fn forget(&self, id: &str, revision: u64) -> Result<()> {
        let purge = |nats: Arc<Connected>| async move {
            let states = nats.streams.of(Kind::State);
            Ok(states.purge().filter(Kind::State.subject(id)).sequence(revision + 1).await?)
        };
        self.call(purge).await.map(drop)
    }

    /// Whether a batch has ended lately.
    pub(super) async fn ended(&self, id: &str) -> Result<Option<Ended>> {
        self.last(Kind::Done, id).await?.as_ref().map(read).transpose()
    }

    /// Remembers that a batch has ended.
    pub(super) async fn remember(&self, id: &str, ended: &Ended) -> Result<()> {
        let payload = serde_json::to_vec(ended).map_err(|error| Error::Corrupt(error.to_string()))?;
        self.publish(Kind::Done, id, PublishMessage::build().payload(payload.into())).await
    }

    /// The server's time, since 1970. What is written is stamped with it, and workers' clocks may differ.
    pub(super) async fn server_time(&self) -> Result<Duration> {
        self.publish(Kind::State, CLOCK, PublishMessage::build()).await?;
        Ok(self.last(Kind::State, CLOCK).await?.as_ref().map(written).unwrap_or_default())
    }

    /// The last message of a batch.
    pub(super) async fn last(&self, kind: Kind, id: &str) -> Result<Option<StreamMessage>> {
        let get = |nats: Arc<Connected>| async move {
            let stream = nats.streams.of(kind);
            found(stream.raw_message_builder().last_by_subject(kind.subject(id)).send().await)
        };
        self.call(get).await
    }

    /// The first message at `sequence` or behind it.
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
        .map_err(|error| Error::Corrupt(format!("what NATS keeps as {}: {error}", message.subject)))
}

/// When a message was stored, by the server's clock, since 1970.
fn written(message: &StreamMessage) -> Duration {
    since_1970(message.time.unix_timestamp_nanos())
}

fn since_1970(nanos: i128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or_default())
}

/// Whether this message of the states is of a batch that was given back for later.
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
