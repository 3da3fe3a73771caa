//! A client that takes nothing more of its response is not waited for without end.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures::future::AbortHandle;
use tokio::sync::oneshot::{Receiver, error::RecvError};
use tokio::time::timeout;

use super::Delivery;
use crate::contract::bindings::ResponseOutcome;
use crate::wire::activity::AtWork;

/// In how many steps a client's time passes. It may have one step more than the limit, since none begins with its last move.
const STEPS: u32 = 4;

/// How long a client may take nothing, and what then ends.
pub(crate) struct Patience {
    limit: Duration,
    /// The task that sends the response: of HTTP/1 the connection's, of HTTP/2 the stream's.
    sender: AbortHandle,
    /// Meanwhile the connection is not idle.
    _at_work: AtWork,
}

impl Patience {
    pub(crate) fn new(limit: Duration, sender: AbortHandle, at_work: AtWork) -> Self {
        Self { limit, sender, _at_work: at_work }
    }

    /// Waits for the response's end, which comes by force if the client takes nothing for too long.
    pub(super) async fn wait(
        &self,
        delivery: &Delivery,
        outcome: &mut Receiver<ResponseOutcome>,
    ) -> Result<ResponseOutcome, RecvError> {
        let (mut seen, mut still) = (delivery.progress(), 0);
        // Without a pause between two looks the thread would do nothing else.
        let step = (self.limit / STEPS).max(Duration::from_millis(1));
        while still < STEPS {
            if let Ok(ended) = timeout(step, &mut *outcome).await {
                return ended;
            }
            let now = delivery.progress();
            still = if now == seen && !delivery.is_up_to_the_guest() { still + 1 } else { 0 };
            seen = now;
        }
        let limit = humantime::format_duration(self.limit);
        tracing::debug!(target: "epilogue::connection", %limit, "a client took nothing of its response, and is given up");
        delivery.settle(ResponseOutcome::ClientGone);
        self.sender.abort();
        outcome.await
    }
}

impl Delivery {
    /// Differs from before if the client has taken something, as far as that can be seen.
    fn progress(&self) -> (usize, usize) {
        // On HTTP/2 what another stream writes is no progress of this one, until only the connection's flush is left.
        let writes = self.alone || (self.ended.load(Relaxed) && self.held.load(Relaxed) == 0);
        let writes = if writes { self.connection.writes() } else { 0 };
        (self.moves.load(Relaxed), writes)
    }
}
