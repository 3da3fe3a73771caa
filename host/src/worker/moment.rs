//! A clock that goes on while the machine is suspended. Workers need this clock because leases in a task engine on
//! another machine also end during a suspension. tokio's clock would stand still.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A point in time, as the time since the start of the machine. Periods in which the machine was suspended count too.
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
