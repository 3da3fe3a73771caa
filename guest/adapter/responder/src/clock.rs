//! Time, by the clock that the host lends.

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use core::fmt::Write as _;
use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;

use crate::bindings::wasi::clocks::monotonic_clock::{now, wait_for};

pub(crate) type Nanoseconds = u64;

/// Nanoseconds in each unit, the largest first.
pub(crate) const UNITS: [(&str, Nanoseconds); 6] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// A moment that comes.
pub(crate) struct Deadline(Nanoseconds);

impl Deadline {
    pub(crate) fn after(time: Nanoseconds) -> Self {
        Self(now().saturating_add(time))
    }

    pub(crate) fn left(&self) -> Nanoseconds {
        self.0.saturating_sub(now())
    }
}

/// Runs `work` for so long at most. Work that is not done by then is cancelled, and its instance serves on: but only if it
/// waits for something; what computes cannot be cut.
pub(crate) async fn within<T>(limit: Nanoseconds, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut expired = pin!(wait_for(limit));
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => expired.as_mut().poll(context).map(|()| None),
    })
    .await
}

/// A duration as one would say it: `1m 30s`.
pub(crate) fn show(time: Nanoseconds) -> String {
    let (mut left, mut text) = (time, String::new());
    for (unit, length) in UNITS {
        if left >= length {
            let space = if text.is_empty() { "" } else { " " };
            _ = write!(text, "{space}{}{unit}", left / length);
            left %= length;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}
