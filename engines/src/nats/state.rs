//! What is kept beside a message, and how it is read and written.

use std::time::{SystemTime, UNIX_EPOCH};

use async_nats::jetstream::message::StreamMessage;
use serde::{Deserialize, Serialize};

use super::{Error, Nats, PublishErrorKind, PublishMessage, RawMessageErrorKind, Result, Stream};

/// How far a message has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// The first task that has not ended.
    pub(super) next: u32,
    /// How often it was delivered.
    pub(super) attempt: u32,
    /// Who holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) worker: Option<String>,
    /// When it will be delivered again, in milliseconds since 1970, if it was given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) due: Option<u64>,
    /// It is over, and the message is about to go. Whoever finds it so brings that to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fate: Option<Fate>,
}

/// How a batch ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Fate {
    Done,
    /// Because of this.
    Dead(String),
}

impl Nats {
    /// What is known of a message, and its revision.
    pub(super) async fn progress(&self, sequence: u64) -> Result<Option<(Progress, u64)>> {
        let states = &self.connected().await?.states;
        let Some(message) = self.last(states, subject(sequence)).await? else { return Ok(None) };
        let progress = serde_json::from_slice(&message.payload)
            .map_err(|error| Error::Corrupt(format!("the state of message {sequence}: {error}")))?;
        Ok(Some((progress, message.sequence)))
    }

    /// Writes what is known, unless somebody else has written since `revision`. The new revision.
    pub(super) async fn write(&self, sequence: u64, revision: u64, progress: &Progress) -> Result<Option<u64>> {
        let connected = self.connected().await?;
        let payload = serde_json::to_vec(progress).map_err(|error| Error::Corrupt(error.to_string()))?;
        let message = PublishMessage::build().payload(payload.into()).expected_last_subject_sequence(revision);
        let written = async {
            match connected.context.send_publish(subject(sequence), message).await?.await {
                Ok(stored) => Ok(Some(stored.sequence)),
                Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.bounded(written).await
    }

    /// Removes what is known. Unlike a key's deletion this leaves nothing behind.
    pub(super) async fn forget(&self, sequence: u64) -> Result<()> {
        let states = &self.connected().await?.states;
        self.bounded(async { states.purge().filter(subject(sequence)).await }).await.map(drop)
    }

    /// A message of the queue.
    pub(super) async fn message(&self, sequence: u64) -> Result<Option<StreamMessage>> {
        let ready = &self.connected().await?.ready;
        self.bounded(async { found(ready.get_raw_message(sequence).await) }).await
    }

    /// The last message of a subject.
    pub(super) async fn last(&self, stream: &Stream, subject: String) -> Result<Option<StreamMessage>> {
        self.bounded(async { found(stream.raw_message_builder().last_by_subject(subject).send().await) }).await
    }

    /// The first message at `sequence` or behind it.
    pub(super) async fn first_from(&self, stream: &Stream, kind: &str, sequence: u64) -> Result<Option<StreamMessage>> {
        let subject = format!("epilogue.{kind}.*");
        self.bounded(async { found(stream.get_first_raw_message_by_subject(subject, sequence).await) }).await
    }
}

type RawMessageError = async_nats::jetstream::stream::RawMessageError;

fn found(
    message: std::result::Result<StreamMessage, RawMessageError>,
) -> std::result::Result<Option<StreamMessage>, RawMessageError> {
    match message {
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        message => message.map(Some),
    }
}

fn subject(sequence: u64) -> String {
    format!("epilogue.state.{sequence}")
}

/// Milliseconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}
