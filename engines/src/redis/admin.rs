//! What operators ask of the streams.
//!
//! Not in one step, so that a long list does not hold up the server: what moves meanwhile may be there twice, a dead batch that is
//! retried may be missing, and counts are near the truth.

use std::collections::HashSet;
use std::time::Duration;

use redis::streams::{StreamId, StreamInfoGroupsReply, StreamPendingCountReply, StreamPendingId, StreamRangeReply};
use redis::{AsyncCommands as _, FromRedisValue, InfoDict, RedisResult};

use super::{DEAD, GROUP, IDS, NOBODY, QUEUE, Redis};
use crate::{Counts, Entry, Result, State};

/// How many entries one call asks for.
const PAGE: usize = 500;

impl Redis {
    pub(super) async fn list_entries(&self, state: Option<State>, limit: usize) -> Result<Vec<Entry>> {
        self.ensure_group().await?;
        let wanted = |each| state.is_none_or(|state| state == each);
        // First, so that what is delivered while the others are listed is in one of the two lists.
        let delivered = match wanted(State::Ready) {
            true => self.last_delivered().await?,
            false => None,
        };
        let mut entries = Vec::new();
        if state != Some(State::Dead) {
            self.each_pending(|pending, state| {
                if wanted(state) && entries.len() < limit {
                    entries.push((pending, state));
                }
                entries.len() < limit
            })
            .await?;
        }
        let mut listed = Vec::new();
        for (pending, state) in &entries {
            listed.extend(self.leased_entry(pending, *state).await?);
        }
        if wanted(State::Ready) {
            let from = delivered.map_or("-".to_owned(), |delivered| format!("({delivered}"));
            let undelivered = self.range(QUEUE, from, limit.saturating_sub(listed.len())).await?;
            let known: HashSet<_> = entries.iter().map(|(pending, _)| &pending.id).collect();
            for stored in undelivered.into_iter().filter(|stored| !known.contains(&stored.id)) {
                listed.push(self.queue_entry(stored, State::Ready, 0).await?);
            }
        }
        if wanted(State::Dead) {
            let dead = self.range(DEAD, "-".to_owned(), limit.saturating_sub(listed.len())).await?;
            listed.extend(dead.into_iter().map(dead_entry));
        }
        Ok(listed)
    }

    pub(super) async fn show_entry(&self, id: &str) -> Result<Option<Entry>> {
        self.ensure_group().await?;
        let place: Option<String> = self.bounded(self.shared.clone().hget(IDS, id)).await?;
        let Some((place, entry)) = place.as_deref().and_then(|place| place.split_once(' ')) else { return Ok(None) };
        if place == "dead" {
            return Ok(self.exactly(DEAD, entry).await?.map(dead_entry));
        }
        let pending: StreamPendingCountReply =
            self.bounded(self.shared.clone().xpending_count(QUEUE, GROUP, entry, entry, 1)).await?;
        match pending.ids.first() {
            Some(pending) => self.leased_entry(pending, self.state(pending)).await,
            None => match self.exactly(QUEUE, entry).await? {
                Some(stored) => Ok(Some(self.queue_entry(stored, State::Ready, 0).await?)),
                None => Ok(None),
            },
        }
    }

    pub(super) async fn count_entries(&self) -> Result<Counts> {
        self.ensure_group().await?;
        let mut counts = Counts::default();
        let mut pending = 0;
        self.each_pending(|_, state| {
            *counts.of(state) += 1;
            pending += 1;
            true
        })
        .await?;
        let stored: u64 = self.bounded(self.shared.clone().xlen(QUEUE)).await?;
        counts.ready += stored.saturating_sub(pending);
        counts.dead = self.bounded(self.shared.clone().xlen(DEAD)).await?;
        Ok(counts)
    }

    pub(super) async fn risks_of_settings(&self) -> Result<Vec<String>> {
        let mut connection = self.shared.clone();
        let info: InfoDict = self.bounded(redis::cmd("INFO").query_async(&mut connection)).await?;
        let setting = |name| info.get::<String>(name).unwrap_or_default();
        let mut risks = Vec::new();
        if setting("aof_enabled") == "0" {
            let lost = "what it has accepted since its last snapshot is lost when it ends";
            risks.push(format!("Redis has no append-only file, so {lost}: set `appendonly yes`"));
        }
        let policy = setting("maxmemory_policy");
        if policy.starts_with("allkeys-") && setting("maxmemory") != "0" {
            let lost = "drops accepted tasks when its memory is full";
            risks.push(format!("Redis {lost}: set `maxmemory-policy noeviction` instead of `{policy}`"));
        }
        Ok(risks)
    }

    /// Calls `each` with what has been delivered and not confirmed, oldest first, until it is false.
    async fn each_pending(&self, mut each: impl FnMut(StreamPendingId, State) -> bool) -> Result<()> {
        let mut from = "-".to_owned();
        loop {
            let page: StreamPendingCountReply =
                self.bounded(self.shared.clone().xpending_count(QUEUE, GROUP, &from, "+", PAGE)).await?;
            let full = page.ids.len() == PAGE;
            for pending in page.ids {
                from = format!("({}", pending.id);
                let state = self.state(&pending);
                if !each(pending, state) {
                    return Ok(());
                }
            }
            if !full {
                return Ok(());
            }
        }
    }

    fn state(&self, pending: &StreamPendingId) -> State {
        match pending {
            _ if Duration::from_millis(pending.last_delivered_ms as u64) >= self.options.visibility => State::Ready,
            pending if pending.consumer == NOBODY => State::Delayed,
            _ => State::Leased,
        }
    }

    async fn leased_entry(&self, pending: &StreamPendingId, state: State) -> Result<Option<Entry>> {
        let Some(stored) = self.exactly(QUEUE, &pending.id).await? else { return Ok(None) };
        let worker = (state == State::Leased).then(|| pending.consumer.clone());
        let attempt = u32::try_from(pending.times_delivered).unwrap_or(u32::MAX);
        let idle = Duration::from_millis(pending.last_delivered_ms as u64);
        let left = (state != State::Ready).then(|| self.options.visibility.saturating_sub(idle));
        Ok(Some(Entry { worker, left, ..self.queue_entry(stored, state, attempt).await? }))
    }

    async fn queue_entry(&self, stored: StreamId, state: State, attempt: u32) -> Result<Entry> {
        let id: String = field(&stored, "id");
        let (next, _) = self.known(&id).await?;
        let envelope = field(&stored, "batch");
        Ok(Entry { id, state, next, attempt, worker: None, left: None, why: None, envelope })
    }

    async fn last_delivered(&self) -> Result<Option<String>> {
        let groups: StreamInfoGroupsReply = self.bounded(self.shared.clone().xinfo_groups(QUEUE)).await?;
        Ok(groups.groups.into_iter().find(|group| group.name == GROUP).map(|group| group.last_delivered_id))
    }

    async fn range(&self, stream: &str, from: String, count: usize) -> Result<Vec<StreamId>> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let mut connection = self.shared.clone();
        let range: RedisResult<StreamRangeReply> = connection.xrange_count(stream, from, "+", count).await;
        Ok(self.bounded(async { range }).await?.ids)
    }

    async fn exactly(&self, stream: &str, entry: &str) -> Result<Option<StreamId>> {
        let range: StreamRangeReply = self.bounded(self.shared.clone().xrange(stream, entry, entry)).await?;
        Ok(range.ids.into_iter().next())
    }

    /// Comes first, so it also finds out whether the connection was broken since it was last used. It writes only where it must:
    /// a server without memory refuses that, and then more than ever somebody wants to look.
    async fn ensure_group(&self) -> Result<()> {
        self.bounded(async {
            let there = match self.has_group().await {
                Err(error) if error.is_connection_dropped() => self.has_group().await?,
                there => there?,
            };
            if there { Ok(()) } else { self.create_group().await }
        })
        .await
    }

    async fn has_group(&self) -> RedisResult<bool> {
        let groups: RedisResult<StreamInfoGroupsReply> = self.shared.clone().xinfo_groups(QUEUE).await;
        match groups {
            Err(error) if error.to_string().contains("no such key") => Ok(false),
            groups => Ok(groups?.groups.iter().any(|group| group.name == GROUP)),
        }
    }
}

fn dead_entry(stored: StreamId) -> Entry {
    Entry {
        id: field(&stored, "id"),
        state: State::Dead,
        next: field(&stored, "next"),
        attempt: field(&stored, "attempt"),
        worker: None,
        left: None,
        why: Some(field(&stored, "why")),
        envelope: field(&stored, "batch"),
    }
}

fn field<T: FromRedisValue + Default>(stored: &StreamId, name: &str) -> T {
    stored.get(name).unwrap_or_default()
}
