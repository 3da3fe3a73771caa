//! Shares a timeline between a request and its readers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Timeline;

/// A timeline that a request and its readers share. When the request has ended, another request may use the same memory
/// for its timeline.
#[derive(Debug)]
pub(crate) struct Shared {
    timeline: Mutex<Timeline>,
    /// True if the timeline also contains the guest's output.
    pub(crate) has_output: bool,
    /// True if the request has an instance and has not ended.
    is_live: AtomicBool,
}

impl Shared {
    /// Makes a timeline that a request and its readers can share. If `has_output` is true, the timeline also contains
    /// the guest's output.
    pub(crate) fn new(timeline: Timeline, has_output: bool) -> Self {
        Self { timeline: Mutex::new(timeline), has_output, is_live: AtomicBool::new(false) }
    }

    /// Locks the timeline. If another thread has panicked while that thread held the lock, the timeline is still
    /// usable, because each single change leaves the timeline valid.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Timeline> {
        self.timeline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports whether the request has an instance and has not ended.
    pub(crate) fn is_live(&self) -> bool {
        self.is_live.load(Ordering::Acquire)
    }

    /// Records whether the request has an instance and has not ended. If a thread sees this change, the thread also sees
    /// everything that the calling thread has done before.
    pub(crate) fn set_live(&self, is_live: bool) {
        self.is_live.store(is_live, Ordering::Release);
    }
}
