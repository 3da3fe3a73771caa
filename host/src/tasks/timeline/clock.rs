//! Reads the clocks for timelines, as rarely as possible. Reading a clock takes long compared with the rest of a
//! timeline.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime};

/// The time after which a thread reads the wall clock again.
const AGE: Duration = Duration::from_secs(1);

thread_local! {
    /// The last reading of the wall clock on this thread.
    static LAST: Cell<Option<(Instant, SystemTime)>> = const { Cell::new(None) };
    /// The time at which this thread's guest has added a task since the guest began to run, or `None`.
    static ADDED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Records that a guest begins to run on this thread. Mostly after a millisecond at the latest, the guest lets others
/// run, and then begins again. A single long instruction of the guest, such as a copy of much memory, can take longer.
pub(crate) fn guest_begins() {
    ADDED.set(None);
}

/// Returns the time at which the running guest adds a task. If the guest adds several tasks before it lets others run,
/// all of them get the time of the first one, so that the host reads the clock only once.
pub(crate) fn added() -> Instant {
    ADDED.get().unwrap_or_else(|| {
        let now = Instant::now();
        ADDED.set(Some(now));
        now
    })
}

/// Returns the wall-clock time at `now`, which is the current time. Reads the wall clock only if this thread has not
/// read it for one second. So the result is wrong for up to a second after someone has set the clock.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_that_a_guest_adds_together_get_one_time() {
        guest_begins();
        let first = added();
        while Instant::now() == first {}
        assert_eq!(added(), first);
        guest_begins();
        assert!(added() > first);
    }
}
