//! Counts the accepted tasks of a host that have not ended and that the host has not stored in the task engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The number of accepted tasks that have not ended and that the host has not stored in the task engine. All clones of
/// this value contain the same number.
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
