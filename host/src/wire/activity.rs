//! When a connection is idle: a connection is of use while one of its requests is at work, and for a while after.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::budget::address::Address;

/// The requests of one connection.
pub(crate) struct Activity {
    at_work: Cell<usize>,
    /// When the last request ended or, before the first one, when the connection began.
    since: Cell<Instant>,
    /// Whether the client has ever left a request of this connection before its response.
    left: Cell<bool>,
    /// What the client's address holds.
    pub(crate) address: Arc<Address>,
}

/// Marks a request as at work. It is dropped once the response is sent, or can never be.
pub(crate) struct AtWork(Rc<Activity>);

impl AtWork {
    /// The connection's activity.
    pub(crate) fn activity(&self) -> &Activity {
        &self.0
    }
}

impl Activity {
    /// Makes the activity of a new connection, whose client has this address.
    pub(crate) fn new(address: Arc<Address>) -> Rc<Self> {
        Rc::new(Self { at_work: Cell::new(0), since: Cell::new(Instant::now()), left: Cell::new(false), address })
    }

    pub(crate) fn begin(self: &Rc<Self>) -> AtWork {
        self.at_work.set(self.at_work.get() + 1);
        AtWork(self.clone())
    }

    /// Whether no request of the connection is at work.
    pub(crate) fn is_idle(&self) -> bool {
        self.at_work.get() == 0
    }

    /// Notes that the client has left a request of this connection before its response, as by a reset of its stream.
    pub(crate) fn leave(&self) {
        self.left.set(true);
    }

    /// Whether requests that the client has left are among more than `max` that are at work. Without such requests the
    /// protocol itself limits how many there are, and one whose response has just been sent may still count.
    pub(crate) fn is_over(&self, max: usize) -> bool {
        self.left.get() && self.at_work.get() > max
    }

    /// Restarts the connection's idle time: it counts from now on.
    pub(crate) fn restart(&self) {
        self.since.set(Instant::now());
    }

    /// Returns when no request has been at work for `limit`.
    pub(crate) async fn idle(&self, limit: Duration) {
        // Without a pause between two looks the thread would do nothing else.
        let limit = limit.max(Duration::from_millis(1));
        loop {
            let now = Instant::now();
            let since = if self.at_work.get() > 0 { now } else { self.since.get() };
            // A limit that overflows the clock has no end.
            let Some(end) = since.checked_add(limit) else { return std::future::pending().await };
            if self.at_work.get() == 0 && now >= end {
                return;
            }
            sleep_until(end).await;
        }
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.at_work.set(self.0.at_work.get() - 1);
        self.0.restart();
    }
}
