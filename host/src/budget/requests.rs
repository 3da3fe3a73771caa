//! Counts the running requests and the draining requests of a host. A request is running until its response is sent.
//! After its response is sent, the request is draining until its tasks and its teardown have ended.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use crate::budget::address::Share;

/// Counts the running requests and the draining requests of a host.
#[derive(Default)]
pub(crate) struct Requests {
    at_work: AtomicUsize,
    draining: AtomicUsize,
}

/// Counts one request: first as running, and later as draining. The request counts until this value is dropped.
pub(crate) struct Place {
    requests: Arc<Requests>,
    drains: AtomicBool,
    /// Counts the request as running for the limit `max-requests-per-address`. The value is `None` if this limit is not
    /// set, and after [`Place::drain`].
    share: Mutex<Option<Share>>,
}

impl Requests {
    /// Counts a request as running. If `max` requests are already running, counts nothing and returns `None`.
    pub(crate) fn begin(self: &Arc<Self>, max: usize, share: Option<Share>) -> Option<Arc<Place>> {
        let more = |at_work| (at_work < max).then_some(at_work + 1);
        self.at_work.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(Arc::new(Place { requests: self.clone(), drains: AtomicBool::new(false), share: Mutex::new(share) }))
    }

    /// Returns the number of draining requests.
    pub(crate) fn draining(&self) -> usize {
        self.draining.load(Relaxed)
    }

    /// Returns the number of running requests.
    pub(crate) fn at_work(&self) -> usize {
        self.at_work.load(Relaxed)
    }

    /// Returns the number of running and draining requests together.
    pub(crate) fn all(&self) -> usize {
        self.at_work.load(Relaxed) + self.draining()
    }
}

impl Place {
    /// Counts the request as draining from now on. The limit `max-requests-per-address` no longer counts the request.
    /// Further calls change nothing.
    pub(crate) fn drain(&self) {
        self.leave_work();
        self.share.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Counts the request as draining from now on. The limit `max-requests-per-address` still counts the request.
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
