//! The calls that operators make to inspect and change stored batches. The calls read the streams message by message,
//! so a long list takes a long time.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use futures::StreamExt as _;

use super::connection::Connected;
use super::state::{self, Ended, Fate, Known, Progress};
use super::streams::Kind;
use super::{ATTEMPT, LIFE, NEXT, Nats, WHY, header, id_of};
use crate::batch::is_id;
use crate::{BatchState, Counts, Entry, PAGE, Result, Visitor};

impl Nats {
    pub(super) async fn visit_entries(&self, state: Option<BatchState>, limit: usize, each: Visitor<'_>) -> Result<()> {
        let mut left = limit;
        if state != Some(BatchState::Dead) {
            let workers = self.workers_info().await?;
            // The server has not delivered the messages after this message yet, so their batches are ready.
            let last = match state {
                Some(BatchState::Leased | BatchState::Delayed) => workers.delivered.stream_sequence,
                _ => u64::MAX,
            };
            // All batches up to the consumer's acknowledgment floor have ended, so the list begins after the floor. A
            // server that was killed may still store messages below the floor (seen with NATS 2.9.10), but does not
            // deliver these messages again.
            let mut from = workers.ack_floor.stream_sequence + 1;
            while left > 0
                && let Some(message) = self.first_from(Kind::Ready, from).await?
                && message.sequence <= last
            {
                from = message.sequence + 1;
                let entry = self.queue_entry(message).await?;
                if let Some(entry) = entry.filter(|entry| state.is_none_or(|state| state == entry.state)) {
                    left -= 1;
                    each(entry);
                }
            }
        }
        if state.is_none_or(|state| state == BatchState::Dead) {
            let mut from = 1;
            while left > 0
                && let Some(message) = self.first_from(Kind::Dead, from).await?
            {
                from = message.sequence + 1;
                left -= 1;
                each(dead_entry(message));
            }
        }
        Ok(())
    }

    pub(super) async fn show_entry(&self, id: &str) -> Result<Option<Entry>> {
        if let Some(message) = self.of_batch(Kind::Ready, id).await?
            && let Some(entry) = self.queue_entry(message).await?
        {
            return Ok(Some(entry));
        }
        Ok(self.of_batch(Kind::Dead, id).await?.map(dead_entry))
    }

    pub(super) async fn retry_dead_entry(&self, id: &str) -> Result<Option<Entry>> {
        let Some(dead) = self.of_batch(Kind::Dead, id).await? else { return Ok(None) };
        let lives = [
            Some(header(Some(&dead.headers), LIFE)),
            self.ended(id).await?.map(|ended| ended.life),
            self.progress(id).await?.map(|known| known.progress.life),
        ];
        let life = lives.into_iter().flatten().max().unwrap_or_default() + 1;
        // The server drops a second message with the same message id. If two operators retry the batch at the same
        // time, both send the same message id, so the server enqueues the batch once. The batch's id alone cannot be
        // the message id, because the server may still know this id from the first enqueue.
        let message_id = format!("{id}:{}", dead.time.unix_timestamp_nanos());
        let message = PublishMessage::build()
            .header(NEXT, header(Some(&dead.headers), NEXT).to_string())
            .header(LIFE, life.to_string())
            .payload(dead.payload.clone())
            .message_id(message_id);
        self.publish(Kind::Ready, id, message).await?;
        let first = self.delete(Kind::Dead, dead.sequence).await?;
        Ok(first.then(|| dead_entry(dead)))
    }

    pub(super) async fn remove_entry(&self, id: &str) -> Result<Option<Entry>> {
        let mut removed = None;
        while let Some(message) = self.of_batch(Kind::Ready, id).await? {
            let (life, sequence) = (header(Some(&message.headers), LIFE), message.sequence);
            if self.is_over(&message).await? {
                self.delete(Kind::Ready, sequence).await?;
                continue;
            }
            // If `seal` returns `None`, a worker is ending the batch or moving it to the dead letter.
            let Some(sealed) = self.seal(message, life).await? else { break };
            // A server that is killed may forget that it has removed the message, so the engine records the end first.
            self.remember(id, &Ended { life, lease: String::new() }).await?;
            self.delete(Kind::Ready, sequence).await?;
            self.forget(id, u64::MAX - 1).await?;
            removed = removed.or(Some(sealed));
        }
        if let Some(message) = self.of_batch(Kind::Dead, id).await?
            && self.delete(Kind::Dead, message.sequence).await?
        {
            removed = removed.or(Some(dead_entry(message)));
        }
        Ok(removed)
    }

    /// Writes into the batch's state that the batch is removed. If a worker holds the batch, each later call with the
    /// worker's lease fails. If the state already says how the batch ends, writes nothing and returns `None`.
    async fn seal(&self, message: StreamMessage, life: u32) -> Result<Option<Entry>> {
        let id = id_of(&message.subject).to_owned();
        loop {
            let known = self.progress(&id).await?;
            let revision = known.as_ref().map_or(0, |known| known.revision);
            let known = known.filter(|known| known.progress.life == life);
            let begin = || Progress { life, next: header(Some(&message.headers), NEXT), ..Progress::default() };
            let progress = known.as_ref().map_or_else(begin, |known| known.progress.clone());
            if progress.fate.is_some() {
                return Ok(None);
            }
            let sealed = Progress { fate: Some(Fate::Removed), lease: String::new(), ..progress };
            if self.write(&id, revision, &sealed).await?.is_some() {
                return Ok(Some(entry(message, known)));
            }
        }
    }

    pub(super) async fn count_entries(&self) -> Result<Counts> {
        let workers = self.workers_info().await?;
        let dead = self.call(|nats| async move { Ok(nats.streams.of(Kind::Dead).get_info().await?.state.messages) });
        let dead = dead.await?;
        let delivered = workers.num_ack_pending as u64;
        let delayed = if delivered == 0 { 0 } else { self.delayed().await?.min(delivered) };
        Ok(Counts { ready: workers.num_pending, delayed, leased: delivered - delayed, dead })
    }

    /// Returns the number of delayed batches. The server's own counts do not distinguish a delayed batch from a batch
    /// that a worker holds, so this function reads the stored states.
    async fn delayed(&self) -> Result<u64> {
        let read = |nats: Arc<Connected>| async move {
            let states = nats.streams.of(Kind::State);
            let config = pull::Config {
                ack_policy: AckPolicy::None,
                inactive_threshold: Duration::from_secs(30),
                memory_storage: true,
                ..pull::Config::default()
            };
            let consumer = states.create_consumer(config).await?;
            let (mut delayed, mut left) = (0, consumer.cached_info().num_pending as usize);
            let now = state::now();
            while left > 0 {
                let mut messages = consumer.fetch().max_messages(left.min(PAGE)).messages().await?;
                let before = left;
                while let Some(message) = messages.next().await.transpose()? {
                    left = left.saturating_sub(1);
                    delayed += u64::from(state::is_delayed(&message, now));
                }
                // If no message came, other calls have removed the remaining messages.
                left = if left == before { 0 } else { left };
            }
            states.delete_consumer(&consumer.cached_info().name).await?;
            Ok(delayed)
        };
        self.call(read).await
    }

    async fn delete(&self, kind: Kind, sequence: u64) -> Result<bool> {
        self.call(|nats| async move { Ok(nats.streams.of(kind).delete_message(sequence).await?) }).await
    }

    /// Returns the message of the batch with this id. If there is no such batch, or if the id is not valid, returns
    /// `None`. The function checks the id, because an operator can type any text, and the id `*` would match every
    /// batch.
    async fn of_batch(&self, kind: Kind, id: &str) -> Result<Option<StreamMessage>> {
        match is_id(id) {
            true => self.last(kind, id).await,
            false => Ok(None),
        }
    }

    /// Returns the [`Entry`] of a message in the queue. If the batch has ended, returns `None`.
    async fn queue_entry(&self, message: StreamMessage) -> Result<Option<Entry>> {
        match self.known(&message).await? {
            None if self.has_ended(&message).await? => Ok(None),
            known => Ok(Some(entry(message, known))),
        }
    }

    /// Returns true if the batch of a message in the queue has ended. The message of an ended batch is in the queue
    /// only if a killed server has forgotten that it had removed the message.
    async fn is_over(&self, message: &StreamMessage) -> Result<bool> {
        Ok(self.known(message).await?.is_none() && self.has_ended(message).await?)
    }

    /// Returns the stored state of the message's batch. If the state describes another life of the batch, before or
    /// after a retry by an operator, returns `None`.
    async fn known(&self, message: &StreamMessage) -> Result<Option<Known>> {
        let life = header(Some(&message.headers), LIFE);
        let known = self.progress(id_of(&message.subject)).await?;
        Ok(known.filter(|known| known.progress.life == life))
    }

    /// Returns true if `EPILOGUE_DONE` has a record that the message's batch has ended, in the life of this message or
    /// in a later life.
    async fn has_ended(&self, message: &StreamMessage) -> Result<bool> {
        let life = header(Some(&message.headers), LIFE);
        Ok(self.ended(id_of(&message.subject)).await?.is_some_and(|ended| ended.life >= life))
    }
}

fn entry(message: StreamMessage, known: Option<Known>) -> Entry {
    let left = known.as_ref().map(|known| known.rest(state::now())).filter(|left| !left.is_zero());
    let state = match &known {
        Some(_) if left.is_none() => BatchState::Ready,
        Some(Known { progress: Progress { worker: Some(_), .. }, .. }) => BatchState::Leased,
        Some(_) => BatchState::Delayed,
        None => BatchState::Ready,
    };
    let begin = || Progress { next: header(Some(&message.headers), NEXT), ..Progress::default() };
    let progress = known.map_or_else(begin, |known| known.progress);
    Entry {
        id: id_of(&message.subject).to_owned(),
        state,
        next: progress.next,
        attempt: progress.attempt,
        worker: progress.worker.filter(|_| state == BatchState::Leased),
        left,
        why: None,
        envelope: message.payload.to_vec(),
    }
}

fn dead_entry(message: StreamMessage) -> Entry {
    Entry {
        id: id_of(&message.subject).to_owned(),
        state: BatchState::Dead,
        next: header(Some(&message.headers), NEXT),
        attempt: header(Some(&message.headers), ATTEMPT),
        worker: None,
        left: None,
        why: message.headers.get(WHY).map(ToString::to_string),
        envelope: message.payload.to_vec(),
    }
}
