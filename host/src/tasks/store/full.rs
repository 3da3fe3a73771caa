//! Estimates how many batches wait in the engine. A component may add batches only below the limit.
//!
//! The engine is asked at most once a second. In between, this process adds the number of batches that it has stored
//! itself.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::TaskStore;

/// The largest age of the engine's answer.
const AGE: Duration = Duration::from_secs(1);

/// This process's estimate of the engine's backlog.
#[derive(Debug, Default)]
pub(super) struct Known {
    batches: AtomicU64,
    /// The time when the engine was last asked.
    asked: Mutex<Option<Instant>>,
    /// Whether the engine is being asked.
    asking: AtomicBool,
}

impl Known {
    /// Records that this process has stored one more batch.
    pub(super) fn stored(&self) {
        self.batches.fetch_add(1, Relaxed);
    }

    fn is_old(&self) -> bool {
        let asked = *self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.is_none_or(|asked| asked.elapsed() >= AGE)
    }

    fn learned(&self, batches: u64) {
        self.batches.store(batches, Relaxed);
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

impl TaskStore {
    /// Whether the engine holds fewer batches than `limit`, without dead ones. If the engine does not answer, the
    /// last estimate decides. The attempt to store a batch then fails and gives the reason.
    pub(crate) async fn has_room(&self, limit: u64) -> bool {
        let known = &self.known;
        if known.is_old() && !known.asking.swap(true, Relaxed) {
            let asking = Asking(&known.asking);
            if let Ok(batches) = self.call(|task_engine| async move { task_engine.backlog().await }).await {
                known.learned(batches);
            }
            drop(asking);
        }
        known.batches.load(Relaxed) < limit
    }
}

/// Marks that the engine is being asked. Dropping the value removes the mark, even if no caller waits for the answer
/// any more.
struct Asking<'a>(&'a AtomicBool);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.store(false, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use epilogue_engines::{Batch, Options, Task};

    use super::*;

    fn batch() -> Batch {
        let name = "task".to_owned();
        let task = Task { id: 1, layer: None, name, args: vec![], max_attempts: 1, timeout: None, backoff: None };
        Batch::new("app", "request", vec![task])
    }

    #[tokio::test]
    async fn what_was_stored_here_counts_at_once_and_what_others_did_a_little_later() {
        let store = TaskStore::open("memory:", Options::default()).unwrap();
        assert!(store.has_room(1).await);
        store.enqueue(batch()).await.unwrap();
        assert!(!store.has_room(1).await && store.has_room(2).await);

        let batch = batch();
        store.call(|task_engine| async move { task_engine.enqueue(&batch).await }).await.unwrap();
        assert!(store.has_room(2).await, "the engine was asked a moment ago");
        *store.known.asked.lock().unwrap() = None;
        assert!(!store.has_room(2).await);
    }
}
