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

/// The longest time that a client may read nothing of a response, and the task that the host aborts after that time.
pub(crate) struct Patience {
    limit: Duration,
    /// The task that sends the response. With HTTP/1, this task serves the whole connection. With HTTP/2, this task
    /// serves one stream.
    sender: AbortHandle,
    /// Keeps the connection from counting as idle before the response has ended.
    pub(crate) at_work: AtWork,
}

impl Patience {
    pub(crate) fn new(limit: Duration, sender: AbortHandle, at_work: AtWork) -> Self {
        Self { limit, sender, at_work }
    }

    /// Waits for the response's end. If the client reads nothing for a second or two, counts the request as stalled. If
    /// the client reads nothing for the whole limit, aborts the response.
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
        tracing::debug!(target: "epilogue::connection", %limit, "a client took nothing of its response for too long, and counts as gone");
        delivery.settle(ResponseOutcome::ClientGone);
        self.sender.abort();
        outcome.await
    }
}

impl Delivery {
    /// Returns a value that changes when the client reads something, if the host can see that the client reads.
    fn progress(&self) -> (usize, usize) {
        // With HTTP/2, the connection also writes bytes of other streams. So its writes count as progress of this
        // response only when nothing but the flush is left.
        let writes = self.alone || (self.ended.load(Relaxed) && self.held.load(Relaxed) == 0);
        let writes = if writes { self.connection.writes() } else { 0 };
        (self.moves.load(Relaxed), writes)
    }
}
