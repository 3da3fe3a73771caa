//! A clock that goes on while the machine is suspended. While the machine is suspended, a task engine on another
//! machine ends leases, but tokio's clock stands still.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A moment, as the time since the start of the machine. The time includes periods in which the machine was suspended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment(Duration);

impl Moment {
    pub(super) fn now() -> Self {
        Self(clock_gettime(ClockId::Boottime).try_into().unwrap_or_default())
    }

    pub(super) fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}
