//! The clocks of the machine, which all processes that use a file share.
//!
//! None is the wall clock where that can be helped: it jumps. A lease ends by the clock that stands still while the machine sleeps,
//! because its worker sleeps too. A delay ends by the one that goes on. Both begin anew when the machine is started.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Milliseconds since the machine was started, without those for which it slept.
pub(super) fn awake() -> i64 {
    read(ClockId::Monotonic)
}

/// Milliseconds since the machine was started.
pub(super) fn running() -> i64 {
    read(ClockId::Boottime)
}

/// Milliseconds since 1970.
pub(super) fn wall() -> i64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// Names this start of the machine. Empty if the system does not tell; then each start looks like the same.
pub(super) fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// At most a few thousand years, so that a sum of two does not overflow.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX).min(1 << 47)
}

fn read(clock: ClockId) -> i64 {
    millis(Duration::try_from(clock_gettime(clock)).unwrap_or_default())
}
