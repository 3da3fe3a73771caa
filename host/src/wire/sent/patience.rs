//! Limits how long a client may read nothing of its response.

use std::mem;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use epilogue_rules::duration::Shown;
use futures::future::AbortHandle;
use tokio::sync::oneshot::{Receiver, error::RecvError};

use super::Delivery;
use super::standstill::{standstill, step};
use crate::budget::address::STALLED_AFTER;
use crate::contract::bindings::ResponseOutcome;
use crate::wire::activity::AtWork;

/// Limits how long a client may read nothing of a response, and can abort the tokio task that sends the response.
pub(crate) struct Patience {
    limit: Duration,
    /// Aborts the tokio task that sends the response. With HTTP/1, this task serves the whole connection. With HTTP/2,
    /// this task serves one stream.
    sender: AbortHandle,
    /// Counts the request as running on its connection, so that the connection does not count as idle before the
    /// response has ended.
    pub(crate) at_work: AtWork,
}

impl Patience {
    pub(crate) fn new(limit: Duration, sender: AbortHandle, at_work: AtWork) -> Self {
        Self { limit, sender, at_work }
    }

    /// Waits until the response has ended. If the client reads nothing for one or two seconds, counts the request as
    /// stalled. If the client reads nothing until the limit, aborts the response.
    pub(super) async fn wait(
        &self,
        delivery: &Delivery,
        outcome: &mut Receiver<ResponseOutcome>,
    ) -> Result<ResponseOutcome, RecvError> {
        let mut seen = delivery.progress();
        let takes_nothing = || {
            let before = mem::replace(&mut seen, delivery.progress());
            seen == before && !delivery.is_up_to_the_guest()
        };
        let (address, mut stalled) = (&self.at_work.activity().address, None);
        let tell = |still: Option<_>| stalled = still.map(|_| address.stall());
        tokio::select! {
            biased;
            ended = &mut *outcome => return ended,
            () = standstill(self.limit, step(self.limit).min(STALLED_AFTER), takes_nothing, tell) => {}
        }
        let limit = Shown(self.limit);
        tracing::debug!(
            target: "epilogue::connection",
            %limit,
            "a client read nothing of its response for too long, so the host aborts the response"
        );
        delivery.settle(ResponseOutcome::ClientGone);
        self.sender.abort();
        outcome.await
    }
}

impl Delivery {
    /// Returns two counts. If a count changes, the client has read something of the response.
    fn progress(&self) -> (usize, usize) {
        // With HTTP/2, the connection also writes bytes of other streams. So the writes of the connection count for
        // this response only when hyper has consumed the whole response and only the flush is left.
        let writes = self.alone || (self.ended.load(Relaxed) && self.held.load(Relaxed) == 0);
        let writes = if writes { self.connection.writes() } else { 0 };
        (self.moves.load(Relaxed), writes)
    }
}
