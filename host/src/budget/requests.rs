//! Counts the requests that are at work, and the requests that drain.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use crate::budget::address::Share;

/// The two counters of a host's requests: requests at work, and requests that drain.
#[derive(Default)]
pub(crate) struct Requests {
    at_work: AtomicUsize,
    draining: AtomicUsize,
}

/// Counts one request: first as at work, and later as draining. Dropping the value ends the count.
pub(crate) struct Place {
    requests: Arc<Requests>,
    drains: AtomicBool,
    /// Counts the request for its client's address, if the operator has limited the requests of an address.
    share: Mutex<Option<Share>>,
}

impl Requests {
    /// Counts a request as at work. Returns `None` if already `max` requests are at work.
    pub(crate) fn begin(self: &Arc<Self>, max: usize, share: Option<Share>) -> Option<Arc<Place>> {
        let more = |at_work| (at_work < max).then_some(at_work + 1);
        self.at_work.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(Arc::new(Place { requests: self.clone(), drains: AtomicBool::new(false), share: Mutex::new(share) }))
    }

    /// Returns the number of requests that drain.
    pub(crate) fn draining(&self) -> usize {
        self.draining.load(Relaxed)
    }

    /// Returns the number of requests that are at work.
    pub(crate) fn at_work(&self) -> usize {
        self.at_work.load(Relaxed)
    }

    /// Returns the number of requests that have not ended.
    pub(crate) fn all(&self) -> usize {
        self.at_work.load(Relaxed) + self.draining()
    }
}

impl Place {
    /// Counts the request as draining from now on, also for its client's address. Further calls change nothing.
    pub(crate) fn drain(&self) {
        self.leave_work();
        self.share.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Counts the request as draining from now on. The request still counts as at work for its client's address.
    pub(crate) fn leave_work(&self) {
        if !self.drains.swap(true, Relaxed) {
            self.requests.draining.fetch_add(1, Relaxed);
            self.requests.at_work.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let drains = *self.drains.get_mut();
        let count = if drains { &self.requests.draining } else { &self.requests.at_work };
        count.fetch_sub(1, Relaxed);
    }
}
