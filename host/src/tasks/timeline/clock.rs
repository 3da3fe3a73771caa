//! The wall clock.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime};

/// The time after which a thread reads the wall clock again.
const AGE: Duration = Duration::from_secs(1);

thread_local! {
    /// The last reading of the wall clock on this thread.
    static LAST: Cell<Option<(Instant, SystemTime)>> = const { Cell::new(None) };
}

/// Returns the wall-clock time at `now`, which is the current time. Reads the wall clock only if this thread has not
/// read it for one second, because reading a clock takes long compared with the rest of a timeline. So the result is
/// wrong for up to a second after someone has set the clock.
pub(super) fn wall(now: Instant) -> SystemTime {
    match LAST.get().map(|(instant, time)| (now.saturating_duration_since(instant), time)) {
        Some((age, time)) if age < AGE => time + age,
        _ => {
            let time = SystemTime::now();
            LAST.set(Some((now, time)));
            time
        }
    }
}
