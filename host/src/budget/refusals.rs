//! Counts how often each limit has refused something since the process started, for `epilogue status` and the dashboard.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{PoisonError, RwLock};

/// The counts, by the limit's name in metrics.
static REFUSALS: RwLock<BTreeMap<&str, AtomicU64>> = RwLock::new(BTreeMap::new());

/// Counts that a limit has refused something.
pub(crate) fn count(limit: &'static str) {
    // Threads count side by side, except the first time.
    if let Some(refusals) = REFUSALS.read().unwrap_or_else(PoisonError::into_inner).get(limit) {
        refusals.fetch_add(1, Relaxed);
        return;
    }
    REFUSALS.write().unwrap_or_else(PoisonError::into_inner).entry(limit).or_default().fetch_add(1, Relaxed);
}

/// Returns how often a limit has refused something.
pub(crate) fn of(limit: &str) -> u64 {
    let refusals = REFUSALS.read().unwrap_or_else(PoisonError::into_inner);
    refusals.get(limit).map_or(0, |refusals| refusals.load(Relaxed))
}
