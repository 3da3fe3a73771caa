//! Limits how long a guest may write nothing of its response's body while the client waits.

use std::mem;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;

use super::Sent;
use super::standstill::{standstill, step};

impl Sent {
    /// Returns when the client has waited for more of the body for the time `limit`. The time in which the guest waits
    /// for the client does not count. At the first check that finds the client waiting, calls `tell` with the deadline:
    /// the time at which `limit` will have passed. If a later check finds that the guest has written something, calls
    /// `tell` with `None`.
    pub(crate) fn stalled<F: Fn(Option<Instant>)>(
        &self,
        limit: Duration,
        tell: F,
    ) -> impl Future<Output = ()> + use<F> {
        let (delivery, upload) = (self.delivery.clone(), self.upload.clone());
        let mut seen = delivery.frames.load(Relaxed);
        let writes_nothing = move || {
            let before = mem::replace(&mut seen, delivery.frames.load(Relaxed));
            seen == before && delivery.is_up_to_the_guest() && !upload.is_awaited()
        };
        standstill(limit, step(limit), writes_nothing, tell)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{Method, Response, Version};
    use http_body_util::{BodyExt as _, Full};

    use super::*;
    use crate::wire::sent::{Unflushed, track};

    #[tokio::test(start_paused = true)]
    async fn s10_a_guest_that_computes_behind_its_response_is_not_waited_for_without_end() {
        let body = Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync();
        let (_response, sent) = track(&Unflushed::default(), &Method::GET, Version::HTTP_11, Response::new(body));
        let limit = Duration::from_secs(1);
        let stalled = sent.stalled(limit, |_| ());
        assert!(tokio::time::timeout(2 * limit, stalled).await.is_err(), "it has not been sent yet");
        sent.refuse();
        let stalled = sent.stalled(limit, |_| ());
        assert!(tokio::time::timeout(2 * limit, stalled).await.is_ok());
    }
}
