//! A guest that writes nothing more of its response's body is not waited for without end.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Sent;

/// In how many steps a guest's time passes. It may have one step more than the limit, since none begins with its last write.
const STEPS: u32 = 4;

impl Sent {
    /// Waits until the client has waited for more of the body for so long, and the guest not for the client. `tell` hears when the guest's time will be up, once
    /// a part of it has passed, and None if it then goes on.
    pub(crate) fn stalled<F: Fn(Option<Instant>)>(
        &self,
        limit: Duration,
        tell: F,
    ) -> impl Future<Output = ()> + use<F> {
        let (delivery, upload) = (self.delivery.clone(), self.upload.clone());
        async move {
            let (mut seen, mut still) = (delivery.frames.load(Relaxed), 0);
            // Without a pause between two looks the thread would do nothing else.
            let step = (limit / STEPS).max(Duration::from_millis(1));
            while still < STEPS {
                sleep(step).await;
                let now = delivery.frames.load(Relaxed);
                let stalls = now == seen && delivery.is_up_to_the_guest() && !upload.is_awaited();
                match (stalls, still) {
                    (true, 0) => tell(Instant::now().checked_add(step * (STEPS - 1))),
                    (false, 1..) => tell(None),
                    _ => {}
                }
                still = if stalls { still + 1 } else { 0 };
                seen = now;
            }
        }
    }
}
