//! What operators ask of the streams: message by message, so a long list takes long.

use async_nats::jetstream::message::{PublishMessage, StreamMessage};

use super::state::{self, Ended, Known, Progress};
use super::streams::Kind;
use super::{ATTEMPT, LIFE, NEXT, Nats, WHY, header, id_of};
use crate::batch::is_id;
use crate::{Counts, Entry, Result, State};

impl Nats {
    pub(super) async fn list_entries(&self, state: Option<State>, limit: usize) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        if state != Some(State::Dead) {
            let workers = self.workers_info().await?;
            // Behind the last one that was delivered all are ready.
            let last = match state {
                Some(State::Leased | State::Delayed) => workers.delivered.stream_sequence,
                _ => u64::MAX,
            };
            // Up to there all are over. A server that was killed may remember that, and not that it had removed them (seen with
            // 2.9.10): it delivers them no more.
            let mut from = workers.ack_floor.stream_sequence + 1;
            while entries.len() < limit
                && let Some(message) = self.first_from(Kind::Ready, from).await?
                && message.sequence <= last
            {
                from = message.sequence + 1;
                let entry = self.queue_entry(message).await?;
                if state.is_none_or(|state| state == entry.state) {
                    entries.push(entry);
                }
            }
        }
        if state.is_none_or(|state| state == State::Dead) {
            let mut from = 1;
            while entries.len() < limit
                && let Some(message) = self.first_from(Kind::Dead, from).await?
            {
                from = message.sequence + 1;
                entries.push(dead_entry(message));
            }
        }
        Ok(entries)
    }

    pub(super) async fn show_entry(&self, id: &str) -> Result<Option<Entry>> {
        if let Some(message) = self.of_batch(Kind::Ready, id).await? {
            return self.queue_entry(message).await.map(Some);
        }
        Ok(self.of_batch(Kind::Dead, id).await?.map(dead_entry))
    }

    pub(super) async fn retry_dead_entry(&self, id: &str) -> Result<bool> {
        let Some(dead) = self.of_batch(Kind::Dead, id).await? else { return Ok(false) };
        let lives = [
            Some(header(Some(&dead.headers), LIFE)),
            self.ended(id).await?.map(|ended| ended.life),
            self.progress(id).await?.map(|known| known.progress.life),
        ];
        let life = lives.into_iter().flatten().max().unwrap_or_default() + 1;
        // The id alone was taken when the batch was enqueued, perhaps a moment ago. Two operators retry it once.
        let message_id = format!("{id}:{}", dead.time.unix_timestamp_nanos());
        let message = PublishMessage::build()
            .header(NEXT, header(Some(&dead.headers), NEXT).to_string())
            .header(LIFE, life.to_string())
            .payload(dead.payload)
            .message_id(message_id);
        self.publish(Kind::Ready, id, message).await?;
        self.delete(Kind::Dead, dead.sequence).await
    }

    pub(super) async fn remove_entry(&self, id: &str) -> Result<bool> {
        let mut removed = false;
        while let Some(message) = self.of_batch(Kind::Ready, id).await? {
            let life = header(Some(&message.headers), LIFE);
            // If the server is killed, it may forget what it has removed.
            self.remember(id, &Ended { life, lease: String::new() }).await?;
            removed |= self.delete(Kind::Ready, message.sequence).await?;
            self.forget(id, u64::MAX - 1).await?;
        }
        if let Some(message) = self.of_batch(Kind::Dead, id).await? {
            removed |= self.delete(Kind::Dead, message.sequence).await?;
        }
        Ok(removed)
    }

    pub(super) async fn count_entries(&self) -> Result<Counts> {
        let workers = self.workers_info().await?;
        let dead = self.call(|nats| async move { Ok(nats.streams.of(Kind::Dead).get_info().await?.state.messages) });
        let leased = workers.num_ack_pending as u64;
        Ok(Counts { ready: workers.num_pending, delayed: 0, leased, dead: dead.await? })
    }

    async fn delete(&self, kind: Kind, sequence: u64) -> Result<bool> {
        self.call(|nats| async move { Ok(nats.streams.of(kind).delete_message(sequence).await?) }).await
    }

    /// The message of a batch. An operator may have written anything, and a subject with `*` or `>` is that of every batch.
    async fn of_batch(&self, kind: Kind, id: &str) -> Result<Option<StreamMessage>> {
        match is_id(id) {
            true => self.last(kind, id).await,
            false => Ok(None),
        }
    }

    async fn queue_entry(&self, message: StreamMessage) -> Result<Entry> {
        let id = id_of(&message.subject).to_owned();
        let life = header(Some(&message.headers), LIFE);
        let known = self.progress(&id).await?.filter(|known| known.progress.life == life);
        let left = known.as_ref().map(|known| known.rest(state::now())).filter(|left| !left.is_zero());
        let state = match &known {
            Some(_) if left.is_none() => State::Ready,
            Some(Known { progress: Progress { worker: Some(_), .. }, .. }) => State::Leased,
            Some(_) => State::Delayed,
            None => State::Ready,
        };
        let begin = || Progress { next: header(Some(&message.headers), NEXT), ..Progress::default() };
        let progress = known.map_or_else(begin, |known| known.progress);
        Ok(Entry {
            id,
            state,
            next: progress.next,
            attempt: progress.attempt,
            worker: progress.worker.filter(|_| state == State::Leased),
            left,
            why: None,
            envelope: message.payload.to_vec(),
        })
    }
}

fn dead_entry(message: StreamMessage) -> Entry {
    Entry {
        id: id_of(&message.subject).to_owned(),
        state: State::Dead,
        next: header(Some(&message.headers), NEXT),
        attempt: header(Some(&message.headers), ATTEMPT),
        worker: None,
        left: None,
        why: message.headers.get(WHY).map(ToString::to_string),
        envelope: message.payload.to_vec(),
    }
}
