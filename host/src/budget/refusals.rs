//! Counts the requests that each limit has refused, for the metrics, `epilogue status` and the dashboard.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{PoisonError, RwLock};

/// The number of refused requests since the process started, by the limit's name.
static REFUSALS: RwLock<BTreeMap<&str, AtomicU64>> = RwLock::new(BTreeMap::new());

/// Counts a request that the host answers with 503 because of this limit. `limit` is the name of the setting.
pub(crate) fn count(limit: &'static str) {
    metrics::counter!("epilogue_requests_refused_total", "limit" => limit).increment(1);
    // Except for the first refusal, threads need no exclusive lock.
    if let Some(refusals) = REFUSALS.read().unwrap_or_else(PoisonError::into_inner).get(limit) {
        refusals.fetch_add(1, Relaxed);
        return;
    }
    REFUSALS.write().unwrap_or_else(PoisonError::into_inner).entry(limit).or_default().fetch_add(1, Relaxed);
}

/// Returns the limits that have refused a request, with the number of refused requests.
pub(crate) fn all() -> BTreeMap<String, u64> {
    let refusals = REFUSALS.read().unwrap_or_else(PoisonError::into_inner);
    refusals.iter().map(|(limit, refusals)| ((*limit).to_owned(), refusals.load(Relaxed))).collect()
}
