//! Estimates how many batches wait in the task engine, to enforce the limit `max-backlog`.
//!
//! The host asks the task engine at most once a second how many batches wait. The estimate is the last answer, plus the
//! number of batches that this process has stored since this answer.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::TaskStore;

/// If the task engine's last answer is older than this time, the host asks for the number of waiting batches again.
const AGE: Duration = Duration::from_secs(1);

/// This process's estimate of the number of waiting batches in the task engine.
#[derive(Debug, Default)]
pub(super) struct Known {
    batches: AtomicU64,
    /// The time of the task engine's last answer.
    asked: Mutex<Option<Instant>>,
    /// True while the host is asking the task engine for the number of batches.
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
    /// Reports whether fewer than `limit` batches wait in the task engine. Dead batches do not count. If the task
    /// engine does not answer, uses the last estimate. The caller then learns about the outage when the caller tries to
    /// store a batch.
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

/// Sets the flag `asking` of [`Known`] to false when this value is dropped. This happens even if the calling code has
/// stopped waiting for the task engine's answer.
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
