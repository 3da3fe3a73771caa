//! Keeps the requests and batches that ended most recently, for the dashboard.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::StatusCode;

use crate::contract::bindings::ResponseOutcome;
use crate::tasks::readers::Reader;
use crate::tasks::record::TaskState;
use crate::tasks::timeline::{Fate, Shared, Timeline};

/// The number of requests that each list keeps. In addition, each list keeps the same number of failed requests, so
/// that the dashboard shows failed requests for a longer time.
const KEPT: usize = 1_000;
/// The number of lists. Each thread has its own list, but if the process has more threads than lists, some threads
/// share a list.
const LISTS: usize = 16;

thread_local! {
    /// The index of the list that this thread uses.
    static OWN: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The requests and batches that ended most recently. Cloning this value is cheap.
#[derive(Clone, Default)]
pub(crate) struct History(Arc<Lists>);

#[derive(Default)]
struct Lists {
    lists: [Mutex<List>; LISTS],
    /// The number of requests and batches that have ended since the start of the process.
    ended: AtomicU64,
}

/// The ended requests of one thread, the oldest first. Each entry has a number: the first request that ended in this
/// process has number 1, the second has number 2, and so on.
#[derive(Default)]
struct List {
    newest: VecDeque<(u64, Arc<Shared>)>,
    failed: VecDeque<(u64, Arc<Shared>)>,
}

impl History {
    /// Returns the number of requests and batches that have ended since the start of the process.
    pub(crate) fn ended_so_far(&self) -> u64 {
        self.0.ended.load(Relaxed)
    }

    /// Returns the kept requests whose number is greater than `count`, the newest first. Also returns the number of
    /// requests that have ended so far. If the caller passes this number to the next call as `count`, the next call
    /// returns only requests that have ended in the meantime.
    pub(crate) fn after(&self, count: u64) -> (Vec<Arc<Shared>>, u64) {
        let upto = self.ended_so_far();
        let mut found = Vec::new();
        for list in &self.0.lists {
            let list = lock(list);
            // All requests up to number `upto` are in their lists now, because a request gets its number under the
            // list's lock.
            let newest = list.newest.iter().rev().take_while(|(place, _)| *place > count);
            found.extend(newest.filter(|(place, _)| *place <= upto).cloned());
            let oldest = list.newest.front().map_or(u64::MAX, |(place, _)| *place);
            let older = list.failed.iter().filter(|(place, _)| *place > count && *place < oldest);
            found.extend(older.cloned());
        }
        found.sort_unstable_by_key(|(place, _)| Reverse(*place));
        (found.into_iter().map(|(_, shared)| shared).collect(), upto)
    }
}

impl Reader for History {
    fn ended(&self, timeline: &Arc<Shared>) {
        let failed = has_failed(&timeline.lock());
        let mut list = lock(&self.0.lists[own()]);
        let place = self.0.ended.fetch_add(1, Relaxed) + 1;
        let List { newest, failed: failures } = &mut *list;
        for (kept, wanted) in [(newest, true), (failures, failed)] {
            if wanted {
                if kept.len() == KEPT {
                    kept.pop_front();
                }
                kept.push_back((place, timeline.clone()));
            }
        }
    }
}

/// Reports whether the request, the request's response or one of the request's tasks has failed.
fn has_failed(timeline: &Timeline) -> bool {
    let succeeded = |fate| matches!(fate, Fate::Ended(TaskState::Succeeded | TaskState::Cancelled) | Fate::Stored);
    timeline.status >= StatusCode::INTERNAL_SERVER_ERROR
        || matches!(timeline.outcome, ResponseOutcome::ResponseFailed(_) | ResponseOutcome::HandlerFailed(_))
        || timeline.tasks.iter().any(|task| task.end.as_ref().is_some_and(|end| !succeeded(end.fate)))
}

fn own() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    OWN.get().unwrap_or_else(|| {
        let own = NEXT.fetch_add(1, Relaxed) % LISTS;
        OWN.set(Some(own));
        own
    })
}

fn lock(list: &Mutex<List>) -> MutexGuard<'_, List> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(id: usize, status: StatusCode) -> Arc<Shared> {
        Shared::new(Timeline { id: id.to_string(), status, ..Timeline::begin(None) }, false)
    }

    #[test]
    fn failures_are_kept_longer_than_others() {
        let history = History::default();
        history.ended(&request(0, StatusCode::INTERNAL_SERVER_ERROR));
        for id in 1..=KEPT + 5 {
            history.ended(&request(id, StatusCode::OK));
        }
        let ids: Vec<String> = history.after(0).0.iter().map(|shared| shared.lock().id.clone()).collect();
        assert_eq!(ids.len(), KEPT + 1);
        assert_eq!((ids[0].as_str(), ids[KEPT].as_str()), ("1005", "0"));
        let (newest, upto) = history.after(KEPT as u64 + 4);
        assert_eq!((newest.len(), upto), (2, KEPT as u64 + 6));
        assert!(history.after(upto).0.is_empty());
    }
}
