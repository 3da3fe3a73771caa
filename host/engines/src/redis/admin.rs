//! The calls that operators make to inspect and change stored batches.
//!
//! A call reads a long list in several steps, so that the call does not block the server. If a batch changes its state
//! during a call, the list may contain the batch twice. If an operator retries a dead batch during a call, the batch
//! may be missing in the list. The counts of batches are approximate, because batches may change their state while the
//! engine counts.

use std::collections::HashSet;
use std::time::Duration;

use redis::aio::ConnectionManager;
use redis::streams::{StreamId, StreamInfoGroupsReply, StreamPendingCountReply, StreamPendingId, StreamRangeReply};
use redis::{AsyncCommands as _, FromRedisValue, InfoDict, RedisResult};

use super::script::{Arg, Script};
use super::{DEAD, DELAYED, GROUP, IDS, QUEUE, Redis, STATE, connections};
use crate::{BatchState, Counts, Entry, PAGE, Result, Visitor};

/// The data of one call of `visit`: the callback, and the number of batches that the callback may still get.
struct Visit<'a> {
    each: Visitor<'a>,
    left: usize,
}

impl Visit<'_> {
    fn entries(&mut self, entries: impl IntoIterator<Item = Entry>) {
        for entry in entries {
            self.left = self.left.saturating_sub(1);
            (self.each)(entry);
        }
    }
}

/// The part of a stream that the engine has not read yet.
struct Rest {
    name: &'static str,
    /// The start of the next page, as an argument of the command `XRANGE`.
    from: String,
    /// The id of the last entry that the engine will read. If no more entries are left, the value is `None`.
    last: Option<String>,
}

impl Redis {
    pub(super) async fn visit_entries(&self, state: Option<BatchState>, limit: usize, each: Visitor<'_>) -> Result<()> {
        self.ensure_group().await?;
        let wanted = |each| state.is_none_or(|state| state == each);
        // The engine first reads the id of the last delivered entry, and then lists the pending entries, which workers
        // have got but not acknowledged. If the server delivers an entry between these two steps, the entry is in at
        // least one of the lists of pending and of undelivered entries.
        let delivered = match wanted(BatchState::Ready) {
            true => self.last_delivered().await?,
            false => None,
        };
        let (mut visit, mut known) = (Visit { each, left: limit }, HashSet::new());
        if state != Some(BatchState::Dead) {
            let mut pending = Vec::new();
            self.each_pending(|each, state| {
                if wanted(state) && pending.len() < limit {
                    pending.push((each, state));
                }
                pending.len() < limit
            })
            .await?;
            for (pending, state) in pending {
                visit.entries(self.leased_entry(&pending, state).await?);
                known.insert(pending.id);
            }
        }
        if wanted(BatchState::Delayed) || wanted(BatchState::Ready) {
            let now = self.now().await?;
            let (from, to) = match state {
                Some(BatchState::Ready) => ("-inf".to_owned(), now.to_string()),
                Some(_) => (format!("({now}"), "+inf".to_owned()),
                None => ("-inf".to_owned(), "+inf".to_owned()),
            };
            for (id, due) in self.given_back(from, to, visit.left).await? {
                visit.entries(self.delayed_entry(&id, due, now).await?);
            }
        }
        if wanted(BatchState::Ready) {
            let mut rest = self.stream(QUEUE, delivered).await?;
            while let Some(undelivered) = self.page(&mut rest, visit.left).await? {
                for stored in undelivered.into_iter().filter(|stored| !known.contains(&stored.id)) {
                    visit.entries([self.queue_entry(stored, BatchState::Ready, 0).await?]);
                }
            }
        }
        if wanted(BatchState::Dead) {
            let mut rest = self.stream(DEAD, None).await?;
            while let Some(dead) = self.page(&mut rest, visit.left).await? {
                visit.entries(dead.into_iter().map(dead_entry));
            }
        }
        Ok(())
    }

    pub(super) async fn show_entry(&self, id: &str) -> Result<Option<Entry>> {
        self.ensure_group().await?;
        let place: Option<String> = self.call(|mut server| async move { server.hget(IDS, id).await }).await?;
        let Some((place, entry)) = place.as_deref().and_then(|place| place.split_once(' ')) else { return Ok(None) };
        if place == "dead" {
            return Ok(self.exactly(DEAD, entry).await?.map(dead_entry));
        }
        let pending: StreamPendingCountReply =
            self.call(|mut server| async move { server.xpending_count(QUEUE, GROUP, entry, entry, 1).await }).await?;
        if let Some(pending) = pending.ids.first() {
            return self.leased_entry(pending, self.state(pending)).await;
        }
        let due: Option<f64> = self.call(|mut server| async move { server.zscore(DELAYED, id).await }).await?;
        if let Some(due) = due {
            return self.delayed_entry(id, due, self.now().await?).await;
        }
        match self.exactly(QUEUE, entry).await? {
            Some(stored) => Ok(Some(self.queue_entry(stored, BatchState::Ready, 0).await?)),
            None => Ok(None),
        }
    }

    /// Runs a script that retries or removes a batch, and returns the batch's entry. The index of the next task in this
    /// entry is exact, because the script reads the index and changes the batch in one step.
    pub(super) async fn changed_entry(&self, script: &Script, id: &str) -> Result<Option<Entry>> {
        let Some(entry) = self.show_entry(id).await? else { return Ok(None) };
        let next: Option<u32> = self.run(script, &[Arg::from(id)]).await?;
        Ok(next.map(|next| Entry { next, ..entry }))
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
        let now = self.now().await?;
        counts.delayed =
            self.call(|mut server| async move { server.zcount(DELAYED, format!("({now}"), "+inf").await }).await?;
        let stored: u64 = self.call(|mut server| async move { server.xlen(QUEUE).await }).await?;
        counts.ready += stored.saturating_sub(pending + counts.delayed);
        counts.dead = self.call(|mut server| async move { server.xlen(DEAD).await }).await?;
        Ok(counts)
    }

    pub(super) async fn count_backlog(&self) -> Result<u64> {
        // The stream also contains the delayed batches.
        self.call(|mut server| async move { server.xlen(QUEUE).await }).await
    }

    pub(super) async fn risks_of_settings(&self) -> Result<Vec<String>> {
        let info: InfoDict =
            self.call(|mut server| async move { redis::cmd("INFO").query_async(&mut server).await }).await?;
        let setting = |name| info.get::<String>(name).unwrap_or_default();
        let mut risks = Vec::new();
        if setting("aof_enabled") == "0" {
            let lost = "loses all tasks since its last snapshot when it ends";
            risks.push(format!("Redis has no append-only file, so it {lost}: set `appendonly yes`"));
        }
        let policy = setting("maxmemory_policy");
        if policy.starts_with("allkeys-") && setting("maxmemory") != "0" {
            let lost = "drops accepted tasks when its memory is full";
            risks.push(format!("Redis {lost}: set `maxmemory-policy noeviction` instead of `{policy}`"));
        }
        Ok(risks)
    }

    /// Calls `each` with each entry that a worker has got but not acknowledged, the oldest first. Stops when `each`
    /// returns false.
    async fn each_pending(&self, mut each: impl FnMut(StreamPendingId, BatchState) -> bool) -> Result<()> {
        let mut from = "-".to_owned();
        loop {
            let start = from.as_str();
            let page: StreamPendingCountReply = self
                .call(|mut server| async move { server.xpending_count(QUEUE, GROUP, start, "+", PAGE).await })
                .await?;
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

    fn state(&self, pending: &StreamPendingId) -> BatchState {
        match pending {
            _ if Duration::from_millis(pending.last_delivered_ms as u64) >= self.options.visibility => {
                BatchState::Ready
            }
            _ => BatchState::Leased,
        }
    }

    async fn leased_entry(&self, pending: &StreamPendingId, state: BatchState) -> Result<Option<Entry>> {
        let Some(stored) = self.exactly(QUEUE, &pending.id).await? else { return Ok(None) };
        let worker = (state == BatchState::Leased).then(|| pending.consumer.clone());
        let attempt = u32::try_from(pending.times_delivered).unwrap_or(u32::MAX);
        let idle = Duration::from_millis(pending.last_delivered_ms as u64);
        let left = (state != BatchState::Ready).then(|| self.options.visibility.saturating_sub(idle));
        Ok(Some(Entry { worker, left, ..self.queue_entry(stored, state, attempt).await? }))
    }

    async fn queue_entry(&self, stored: StreamId, state: BatchState, attempt: u32) -> Result<Entry> {
        let id: String = field(&stored, "id");
        let (next, _) = self.known(&id).await?;
        let envelope = field(&stored, "batch");
        Ok(Entry { id, state, next, attempt, worker: None, left: None, why: None, envelope })
    }

    /// Returns the [`Entry`] of a delayed batch. If the batch is no longer stored, returns `None`.
    async fn delayed_entry(&self, id: &str, due: f64, now: u64) -> Result<Option<Entry>> {
        let keys = |mut server: ConnectionManager| async move {
            redis::pipe()
                .hget(IDS, id)
                .hget(STATE, id)
                .query_async::<(Option<String>, Option<String>)>(&mut server)
                .await
        };
        let (place, state) = self.call(keys).await?;
        let Some(entry) = place.as_deref().and_then(|place| place.strip_prefix("ready ")) else { return Ok(None) };
        let Some(stored) = self.exactly(QUEUE, entry).await? else { return Ok(None) };
        let attempt = state.and_then(|state| state.split(' ').nth(2)?.parse().ok()).unwrap_or_default();
        let left = Duration::from_millis((due as u64).saturating_sub(now));
        let (state, left) = if left.is_zero() { (BatchState::Ready, None) } else { (BatchState::Delayed, Some(left)) };
        Ok(Some(Entry { left, ..self.queue_entry(stored, state, attempt).await? }))
    }

    /// Returns the ids of up to `count` delayed batches whose delay ends between `from` and `to`, and the end of each
    /// delay. The times are in milliseconds since 1970, by the server's clock.
    async fn given_back(&self, from: String, to: String, count: usize) -> Result<Vec<(String, f64)>> {
        let (from, to) = (from.as_str(), to.as_str());
        let count = isize::try_from(count).unwrap_or(isize::MAX);
        self.call(|mut server| async move { server.zrangebyscore_limit_withscores(DELAYED, from, to, 0, count).await })
            .await
    }

    /// Returns the server's time, in milliseconds since 1970.
    async fn now(&self) -> Result<u64> {
        let time: (u64, u64) =
            self.call(|mut server| async move { redis::cmd("TIME").query_async(&mut server).await }).await?;
        Ok(time.0 * 1000 + time.1 / 1000)
    }

    async fn last_delivered(&self) -> Result<Option<String>> {
        let groups: StreamInfoGroupsReply =
            self.call(|mut server| async move { server.xinfo_groups(QUEUE).await }).await?;
        Ok(groups.groups.into_iter().find(|group| group.name == GROUP).map(|group| group.last_delivered_id))
    }

    /// Prepares to read a stream from the entry after `behind`. If `behind` is `None`, the engine reads from the
    /// beginning. The engine will stop after the entry that is the newest entry now. If the engine also read newer
    /// entries, it might never finish, because new entries can arrive faster than the engine reads.
    async fn stream(&self, name: &'static str, behind: Option<String>) -> Result<Rest> {
        let last: StreamRangeReply =
            self.call(|mut server| async move { server.xrevrange_count(name, "+", "-", 1).await }).await?;
        let from = behind.map_or("-".to_owned(), |behind| format!("({behind}"));
        Ok(Rest { name, from, last: last.ids.into_iter().next().map(|last| last.id) })
    }

    /// Reads the next page of a stream, with at most `most` entries. If no entries are left, returns `None`.
    async fn page(&self, rest: &mut Rest, most: usize) -> Result<Option<Vec<StreamId>>> {
        let count = most.min(PAGE);
        let Some(last) = rest.last.clone().filter(|_| count > 0) else { return Ok(None) };
        let (name, from, last) = (rest.name, rest.from.as_str(), last.as_str());
        let page: StreamRangeReply =
            self.call(|mut server| async move { server.xrange_count(name, from, last, count).await }).await?;
        match page.ids.last() {
            Some(last) if page.ids.len() == count => rest.from = format!("({}", last.id),
            _ => rest.last = None,
        }
        Ok(Some(page.ids).filter(|ids| !ids.is_empty()))
    }

    async fn exactly(&self, stream: &str, entry: &str) -> Result<Option<StreamId>> {
        let range: StreamRangeReply =
            self.call(|mut server| async move { server.xrange(stream, entry, entry).await }).await?;
        Ok(range.ids.into_iter().next())
    }

    /// Creates the consumer group if there is none. If the group exists, the function writes nothing. So operators can
    /// inspect stored batches even while the server refuses writes because its memory is full.
    async fn ensure_group(&self) -> Result<()> {
        self.call(|server| async move {
            match has_group(server.clone()).await? {
                true => Ok(()),
                false => connections::create_group(server).await,
            }
        })
        .await
    }
}

async fn has_group(mut server: ConnectionManager) -> RedisResult<bool> {
    let groups: RedisResult<StreamInfoGroupsReply> = server.xinfo_groups(QUEUE).await;
    match groups {
        Err(error) if error.to_string().contains("no such key") => Ok(false),
        groups => Ok(groups?.groups.iter().any(|group| group.name == GROUP)),
    }
}

fn dead_entry(stored: StreamId) -> Entry {
    Entry {
        id: field(&stored, "id"),
        state: BatchState::Dead,
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
