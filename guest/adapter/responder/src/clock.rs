//! Deadlines and time limits, measured with the host's monotonic clock.

use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;

use crate::bindings::wasi::clocks::monotonic_clock::{now, wait_for};

pub(crate) type Nanoseconds = u64;

/// Converts a duration to nanoseconds, the unit of the WIT interfaces.
pub(crate) fn nanoseconds(duration: Duration) -> Nanoseconds {
    duration.as_nanos() as Nanoseconds
}

/// The moment at which a time limit ends.
pub(crate) struct Deadline(Nanoseconds);

impl Deadline {
    pub(crate) fn after(time: Nanoseconds) -> Self {
        Self(now().saturating_add(time))
    }

    pub(crate) fn left(&self) -> Nanoseconds {
        self.0.saturating_sub(now())
    }
}

/// Runs `work`. If `work` takes longer than `limit`, cancels `work` and returns `None`. The cancellation does not end
/// the guest's instance. This function can cancel the guest's work only while the guest waits, not while the guest
/// computes.
pub(crate) async fn within<T>(limit: Nanoseconds, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut expired = pin!(wait_for(limit));
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => expired.as_mut().poll(context).map(|()| None),
    })
    .await
}
