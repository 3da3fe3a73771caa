//! The machine's clocks, which all processes that use the same file share.
//!
//! The wall clock can jump, so the engine uses the wall clock only to continue delays after a restart of the machine.
//!
//! Leases use a clock that stops while the machine is suspended, because the worker is suspended, too. Delays use a
//! clock that continues while the machine is suspended. Both clocks start at zero when the machine starts.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Returns the milliseconds since the machine started, without the time for which the machine was suspended.
pub(super) fn awake() -> i64 {
    read(ClockId::Monotonic)
}

/// Returns the milliseconds since the machine started, including the time for which the machine was suspended.
pub(super) fn running() -> i64 {
    read(ClockId::Boottime)
}

/// Returns the milliseconds since 1970, by the wall clock.
pub(super) fn wall() -> i64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// Returns an id that is different after each start of the machine. If the system does not provide the id, returns an
/// empty text. Without the id, the engine cannot notice that the machine has restarted.
pub(super) fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// Converts a duration to milliseconds. The result is at most a few thousand years, so that the sum of two results does
/// not overflow.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX).min(1 << 47)
}

fn read(clock: ClockId) -> i64 {
    millis(Duration::try_from(clock_gettime(clock)).unwrap_or_default())
}
