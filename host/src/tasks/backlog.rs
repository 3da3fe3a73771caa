//! Counts the tasks that a host has accepted and that have not ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The number of tasks that a host has accepted and that have not ended. All clones of this value share the number.
#[derive(Debug, Clone, Default)]
pub(crate) struct Backlog(Arc<AtomicUsize>);

impl Backlog {
    pub(crate) fn accepted(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub(crate) fn ended(&self) {
        self.0.fetch_sub(1, Relaxed);
    }

    pub(crate) fn tasks(&self) -> usize {
        self.0.load(Relaxed)
    }
}
