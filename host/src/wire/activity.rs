//! Detects idle connections. A connection is idle if it has had no running request for some time.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::budget::address::Address;

/// Counts the running requests of one connection.
pub(crate) struct Activity {
    at_work: Cell<usize>,
    /// The time when the connection's last request ended. Before the end of the first request, this is the time when
    /// the connection began.
    since: Cell<Instant>,
    /// True if the client has ever left a request of this connection before the response.
    left: Cell<bool>,
    /// The counts of the client's address. All connections of the address share these counts.
    pub(crate) address: Arc<Address>,
}

/// Counts a request as running until this value is dropped. The host drops this value when the response is sent or has
/// failed.
pub(crate) struct AtWork(Rc<Activity>);

impl AtWork {
    /// Returns the activity of the request's connection.
    pub(crate) fn activity(&self) -> &Activity {
        &self.0
    }
}

impl Activity {
    /// Makes the state of a new connection. `address` has the counts of the client's address.
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

    /// Records that the client has left a request of this connection before the response, for example by a reset of the
    /// request's stream.
    pub(crate) fn leave(&self) {
        self.left.set(true);
    }

    /// Reports whether more than `max` requests are running although the client has left some of the connection's
    /// requests. If a client leaves no requests, the protocol itself limits the number of requests. A request whose
    /// response has just been sent may still count.
    pub(crate) fn is_over(&self, max: usize) -> bool {
        self.left.get() && self.at_work.get() > max
    }

    /// Restarts the connection's idle time.
    pub(crate) fn restart(&self) {
        self.since.set(Instant::now());
    }

    /// Returns when the connection has had no running request for `limit`.
    pub(crate) async fn idle(&self, limit: Duration) {
        // Without a pause between two checks, the thread would do nothing else.
        let limit = limit.max(Duration::from_millis(1));
        loop {
            let now = Instant::now();
            let since = if self.at_work.get() > 0 { now } else { self.since.get() };
            // A limit that overflows the clock never ends.
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
