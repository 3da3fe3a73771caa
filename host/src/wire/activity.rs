//! Detects idle connections, which have had no running request for some time.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::budget::address::Address;

/// Counts the running requests of one connection.
pub(crate) struct Activity {
    at_work: Cell<usize>,
    /// The time at which a request of the connection last ended. Before the end of the first request, the value is the
    /// time at which the connection began.
    since: Cell<Instant>,
    /// True if the client has given up at least one request on this connection before the host sent the response.
    left: Cell<bool>,
    /// Counts the connections and requests of the client's address. All connections from the address share this value.
    pub(crate) address: Arc<Address>,
}

/// Counts a request as running until this value is dropped. The host drops the value when the response is sent or has
/// failed.
pub(crate) struct AtWork(Rc<Activity>);

impl AtWork {
    /// Returns the [`Activity`] of the request's connection.
    pub(crate) fn activity(&self) -> &Activity {
        &self.0
    }
}

impl Activity {
    /// Makes the value for a new connection. `address` counts the connections and requests of the client's address.
    pub(crate) fn new(address: Arc<Address>) -> Rc<Self> {
        Rc::new(Self { at_work: Cell::new(0), since: Cell::new(Instant::now()), left: Cell::new(false), address })
    }

    pub(crate) fn begin(self: &Rc<Self>) -> AtWork {
        self.at_work.set(self.at_work.get() + 1);
        AtWork(self.clone())
    }

    /// Reports whether the connection has no running request.
    pub(crate) fn is_idle(&self) -> bool {
        self.at_work.get() == 0
    }

    /// Records that the client has given up a request before the response. For example, the client has reset the
    /// request's stream.
    pub(crate) fn leave(&self) {
        self.left.set(true);
    }

    /// Reports whether the client has given up requests on this connection, and the connection still has more than
    /// `max` running requests. If the client has given up no requests, the result is always false, because HTTP itself
    /// limits the number of requests in this case. A request whose response was sent a moment ago may still count as
    /// running.
    pub(crate) fn is_over(&self, max: usize) -> bool {
        self.left.get() && self.at_work.get() > max
    }

    /// Resets the connection's idle time to zero.
    pub(crate) fn restart(&self) {
        self.since.set(Instant::now());
    }

    /// Waits until the connection has had no running request for the time `limit`.
    pub(crate) async fn idle(&self, limit: Duration) {
        // Between two checks, the thread needs a pause, in which it does its other work.
        let limit = limit.max(Duration::from_millis(1));
        loop {
            let now = Instant::now();
            let since = if self.at_work.get() > 0 { now } else { self.since.get() };
            // If the limit is too large for the clock, the function waits forever.
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
