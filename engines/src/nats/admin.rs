//! What operators ask of the streams: message by message, so a long list takes long.

use std::time::Duration;

use async_nats::jetstream::message::StreamMessage;

use super::{ATTEMPT, NEXT, Nats, PublishMessage, Stream, WHY, header, state};
use crate::batch::is_id;
use crate::{Counts, Entry, Result, State};

impl Nats {
    pub(super) async fn list_entries(&self, state: Option<State>, limit: usize) -> Result<Vec<Entry>> {
        let connected = self.connected().await?;
        let mut entries = Vec::new();
        if state != Some(State::Dead) {
            let workers = self.bounded(connected.workers.get_info()).await?;
            // Behind the last one that was delivered all are ready.
            let last = match state {
                Some(State::Leased | State::Delayed) => workers.delivered.stream_sequence,
                _ => u64::MAX,
            };
            // Up to there all are over. A server that was killed may remember that, and not that it had removed them (seen with
            // 2.9.10): it delivers them no more.
            let mut from = workers.ack_floor.stream_sequence + 1;
            while entries.len() < limit
                && let Some(message) = self.first_from(&connected.ready, "ready", from).await?
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
                && let Some(message) = self.first_from(&connected.dead, "dead", from).await?
            {
                from = message.sequence + 1;
                entries.push(dead_entry(message));
            }
        }
        Ok(entries)
    }

    pub(super) async fn show_entry(&self, id: &str) -> Result<Option<Entry>> {
        let connected = self.connected().await?;
        if let Some(message) = self.of_batch(&connected.ready, "ready", id).await? {
            return self.queue_entry(message).await.map(Some);
        }
        Ok(self.of_batch(&connected.dead, "dead", id).await?.map(dead_entry))
    }

    pub(super) async fn retry_dead_entry(&self, id: &str) -> Result<bool> {
        let connected = self.connected().await?;
        let Some(dead) = self.of_batch(&connected.dead, "dead", id).await? else { return Ok(false) };
        let next = header(Some(&dead.headers), NEXT);
        // The id alone was taken when the batch was enqueued, perhaps a moment ago.
        let message_id = format!("{id}:{}", dead.sequence);
        let message =
            PublishMessage::build().payload(dead.payload).header(NEXT, next.to_string()).message_id(message_id);
        self.publish(format!("epilogue.ready.{id}"), message).await?;
        self.bounded(connected.dead.delete_message(dead.sequence)).await
    }

    pub(super) async fn remove_entry(&self, id: &str) -> Result<bool> {
        let connected = self.connected().await?;
        let ready = self.of_batch(&connected.ready, "ready", id).await?;
        let dead = self.of_batch(&connected.dead, "dead", id).await?;
        if let Some(message) = &ready {
            self.bounded(connected.ready.delete_message(message.sequence)).await?;
            self.forget(message.sequence).await?;
        }
        if let Some(message) = &dead {
            self.bounded(connected.dead.delete_message(message.sequence)).await?;
        }
        Ok(ready.is_some() || dead.is_some())
    }

    pub(super) async fn count_entries(&self) -> Result<Counts> {
        let connected = self.connected().await?;
        let workers = self.bounded(connected.workers.get_info()).await?;
        let dead = self.bounded(connected.dead.get_info()).await?.state.messages;
        Ok(Counts { ready: workers.num_pending, delayed: 0, leased: workers.num_ack_pending as u64, dead })
    }

    /// The message of a batch. An operator may have written anything, and a subject with `*` or `>` is that of every batch.
    async fn of_batch(&self, stream: &Stream, kind: &str, id: &str) -> Result<Option<StreamMessage>> {
        match is_id(id) {
            true => self.last(stream, format!("epilogue.{kind}.{id}")).await,
            false => Ok(None),
        }
    }

    async fn queue_entry(&self, message: StreamMessage) -> Result<Entry> {
        let known = self.progress(message.sequence).await?.map(|(progress, _)| progress);
        let begin = header(Some(&message.headers), NEXT);
        let progress = known.unwrap_or(state::Progress { next: begin, ..state::Progress::default() });
        let now = state::now();
        let (state, left) = match &progress {
            // The server alone knows when it was last extended, and does not tell.
            state::Progress { worker: Some(_), .. } => (State::Leased, None),
            state::Progress { due: Some(due), .. } if *due > now => {
                (State::Delayed, Some(Duration::from_millis(*due - now)))
            }
            _ => (State::Ready, None),
        };
        Ok(Entry {
            id: id(&message),
            state,
            next: progress.next,
            attempt: progress.attempt,
            worker: progress.worker,
            left,
            why: None,
            envelope: message.payload.to_vec(),
        })
    }
}

fn dead_entry(message: StreamMessage) -> Entry {
    Entry {
        id: id(&message),
        state: State::Dead,
        next: header(Some(&message.headers), NEXT),
        attempt: header(Some(&message.headers), ATTEMPT),
        worker: None,
        left: None,
        why: message.headers.get(WHY).map(ToString::to_string),
        envelope: message.payload.to_vec(),
    }
}

fn id(message: &StreamMessage) -> String {
    message.subject.rsplit('.').next().unwrap_or_default().to_owned()
}
