//! Counts how often the host has refused something because of each limit, since the start of the process. `epilogue
//! status` and the dashboard show these counts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{PoisonError, RwLock};

/// The count of each limit, by the limit's name in metrics.
static REFUSALS: RwLock<BTreeMap<&str, AtomicU64>> = RwLock::new(BTreeMap::new());

/// Adds 1 to the count of a limit, because the host has refused something.
pub(crate) fn count(limit: &'static str) {
    // Threads block each other here only when a limit is counted for the first time.
    if let Some(refusals) = REFUSALS.read().unwrap_or_else(PoisonError::into_inner).get(limit) {
        refusals.fetch_add(1, Relaxed);
        return;
    }
    REFUSALS.write().unwrap_or_else(PoisonError::into_inner).entry(limit).or_default().fetch_add(1, Relaxed);
}

/// Returns how often the host has refused something because of a limit.
pub(crate) fn of(limit: &str) -> u64 {
    let refusals = REFUSALS.read().unwrap_or_else(PoisonError::into_inner);
    refusals.get(limit).map_or(0, |refusals| refusals.load(Relaxed))
}
