//! The clocks of the machine, which all processes that use a file share.
//!
//! The wall clock can jump, so it is used only if there is no other way. For leases, the clock stands still while the
//! machine is suspended, because the worker is suspended too. For delays, the clock goes on meanwhile. Both clocks
//! start again when the machine starts.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Milliseconds since the machine was started, without the time for which it was suspended.
pub(super) fn awake() -> i64 {
    read(ClockId::Monotonic)
}

/// Milliseconds since the machine was started, including the time for which it was suspended.
pub(super) fn running() -> i64 {
    read(ClockId::Boottime)
}

/// Milliseconds since 1970, by the wall clock.
pub(super) fn wall() -> i64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// The id of this start of the machine. If the system does not tell it, the id is empty, and all starts look the same.
pub(super) fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// A duration in milliseconds, limited to a few thousand years, so that the sum of two does not overflow.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX).min(1 << 47)
}

fn read(clock: ClockId) -> i64 {
    millis(Duration::try_from(clock_gettime(clock)).unwrap_or_default())
}
