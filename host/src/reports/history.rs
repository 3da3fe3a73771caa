//! Keeps the requests and batches that ended most recently, for the dashboard.
//!
//! A request waits until several requests of its thread have ended, and then the thread copies and counts all of them.
//! This is faster, because the processor then needs the code and the data for this work only once. If a person looks
//! at the dashboard, the waiting requests are copied and counted at once.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, MutexGuard};

use crate::process::per_thread::PerThread;
use crate::reports::totals::Totals;
use crate::tasks::live::Live;
use crate::tasks::readers::Keeper;
use crate::tasks::record::TaskState;
use crate::tasks::timeline::{Fate, Outcome, Pages, Shared, Timeline};

/// The number of requests that each thread keeps. In addition, each thread keeps the same number of failed requests, so
/// that the dashboard shows failed requests for a longer time.
const KEPT: usize = 1_000;
/// The number of requests that a thread copies and counts at once.
const BATCH: usize = 8;

/// The requests and batches that ended most recently, and the totals of all requests. Cloning this value is cheap.
#[derive(Clone, Default)]
pub(crate) struct History(Arc<Lists>);

#[derive(Default)]
struct Lists {
    lists: PerThread<List>,
    /// The number of requests and batches that the threads have copied since the start of the process.
    copied: AtomicU64,
    totals: Totals,
}

/// The ended requests of one thread. The first request that was copied in this process has number 1, the second has
/// number 2, and so on.
#[derive(Default)]
struct List {
    /// The requests that were not copied yet.
    waiting: Vec<Arc<Shared>>,
    newest: Pages,
    failed: Pages,
}

impl History {
    /// Returns the number of requests and batches that have ended since the start of the process.
    pub(crate) fn ended_so_far(&self) -> u64 {
        self.0.each().for_each(drop);
        self.0.copied.load(Relaxed)
    }

    /// Returns the number of kept requests and batches.
    pub(crate) fn kept(&self) -> usize {
        self.0.each().map(|list| list.all().count()).sum()
    }

    /// Returns the totals of all requests that have ended.
    pub(crate) fn totals(&self) -> &Totals {
        self.0.each().for_each(drop);
        &self.0.totals
    }

    /// Returns copies of the kept timelines that are `wanted` and whose number is greater than `count`, the newest
    /// first, but no more than `limit`. Also returns the number of requests that have ended so far. If the caller
    /// passes this number to the next call as `count`, the next call returns only requests that have ended in the
    /// meantime.
    pub(crate) fn after(&self, count: u64, limit: usize, wanted: impl Fn(&Timeline) -> bool) -> (Vec<Timeline>, u64) {
        let upto = self.ended_so_far();
        let mut found = Vec::new();
        for list in self.0.each() {
            // All requests up to number `upto` are in their lists now, because a request gets its number under the
            // list's lock.
            let new = list.all().take_while(|(number, _)| *number > count).filter(|(number, _)| *number <= upto);
            found.extend(new.map(|(_, read)| read()).filter(|timeline| wanted(timeline)).take(limit));
        }
        found.sort_by_key(|timeline| Reverse(timeline.ended()));
        found.truncate(limit);
        (found, upto)
    }
}

impl Lists {
    /// Locks the list of each thread, one after the other. Before that, copies and counts the waiting requests of the
    /// thread.
    fn each(&self) -> impl Iterator<Item = MutexGuard<'_, List>> {
        self.lists.each().map(|mut list| {
            self.copy(&mut list);
            list
        })
    }

    /// Copies and counts the waiting requests of a thread.
    fn copy(&self, list: &mut List) {
        let List { waiting, newest, failed } = list;
        if waiting.is_empty() {
            return;
        }
        let mut counter = self.totals.counter();
        let first = self.copied.fetch_add(waiting.len() as u64, Relaxed) + 1;
        for (number, shared) in (first..).zip(waiting.drain(..)) {
            {
                let timeline = shared.lock();
                newest.add(number, &timeline, KEPT);
                if has_failed(&timeline) {
                    failed.add(number, &timeline, KEPT);
                }
                counter.count(&timeline);
            }
            Live::recycle(shared);
        }
    }
}

impl List {
    /// Returns the number of each kept request, and a function that reads the request's timeline, the newest first.
    fn all(&self) -> impl Iterator<Item = (u64, impl Fn() -> Timeline)> {
        let oldest = self.newest.oldest().unwrap_or(u64::MAX);
        let older = self.failed.newest_first().filter(move |(number, _)| *number < oldest);
        self.newest.newest_first().chain(older)
    }
}

impl Keeper for History {
    fn keep(&self, ended: Arc<Shared>) {
        let mut list = self.0.lists.own();
        list.waiting.push(ended);
        if list.waiting.len() >= BATCH {
            self.0.copy(&mut list);
        }
    }
}

/// Reports whether the request, the request's response or one of the request's tasks has failed.
fn has_failed(timeline: &Timeline) -> bool {
    let succeeded = |fate| matches!(fate, Fate::Ended(TaskState::Succeeded | TaskState::Cancelled) | Fate::Stored);
    timeline.facts.status >= 500
        || matches!(timeline.facts.outcome, Outcome::ResponseFailed(_) | Outcome::HandlerFailed(_))
        || timeline.tasks().any(|task| task.end.is_some_and(|end| !succeeded(end.fate)))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn end(history: &History, id: usize, status: u16) {
        let mut timeline = Timeline::begin(Instant::now());
        timeline.identify(&id.to_string(), "", "");
        timeline.facts.status = status;
        timeline.end(Instant::now());
        history.keep(Arc::new(Shared::new(timeline, false)));
    }

    fn ids(timelines: &[Timeline]) -> Vec<&str> {
        timelines.iter().map(Timeline::id).collect()
    }

    #[test]
    fn failures_are_kept_longer_than_others() {
        let history = History::default();
        end(&history, 0, 500);
        let last = 2 * KEPT;
        for id in 1..=last {
            end(&history, id, 200);
        }
        let (all, upto) = history.after(0, usize::MAX, |_| true);
        assert_eq!((all.len(), upto), (history.kept(), last as u64 + 1));
        assert!(all.len() > KEPT && all.len() < KEPT + KEPT / 10, "{} kept", all.len());
        let newest = (last + 2 - all.len()..=last).rev();
        assert_eq!(ids(&all), newest.chain([0]).map(|id| id.to_string()).collect::<Vec<_>>());
        let (newest, _) = history.after(upto - 2, usize::MAX, |_| true);
        assert_eq!(ids(&newest), ["2000", "1999"]);
        assert_eq!(ids(&history.after(0, 3, |_| true).0), ["2000", "1999", "1998"]);
        assert_eq!(ids(&history.after(0, 3, |timeline| timeline.id().ends_with("7")).0), ["1997", "1987", "1977"]);
        assert!(history.after(upto, usize::MAX, |_| true).0.is_empty());
    }
}
