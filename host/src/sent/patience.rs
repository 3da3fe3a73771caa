//! A client that takes nothing more of its response is not waited for without end.

use std::mem;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures::future::AbortHandle;
use tokio::sync::oneshot::{Receiver, error::RecvError};

use super::Delivery;
use super::standstill::standstill;
use crate::activity::AtWork;
use crate::bindings::ResponseOutcome;

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
        let mut seen = delivery.progress();
        let takes_nothing = || {
            let before = mem::replace(&mut seen, delivery.progress());
            seen == before && !delivery.is_up_to_the_guest()
        };
        tokio::select! {
            biased;
            ended = &mut *outcome => return ended,
            () = standstill(self.limit, takes_nothing, |_| ()) => {}
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
