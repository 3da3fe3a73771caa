//! Calculates when the host tells the guest that a deadline is near (S10).

use core::time::Duration;

/// The divisor 10: the host announces a deadline when one tenth of the call's time is left.
const PART: u32 = 10;
/// The longest time between the announcement of a deadline and the deadline.
const MAX: Duration = Duration::from_secs(5);

/// Returns how long before a call's deadline the host announces the deadline to the guest. `time` is the time from the
/// start of the call to the deadline.
pub fn notice(time: Duration) -> Duration {
    (time / PART).min(MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_tenth_is_announced_and_at_most_five_seconds() {
        assert_eq!(notice(Duration::from_millis(200)), Duration::from_millis(20));
        assert_eq!(notice(Duration::from_secs(50)), Duration::from_secs(5));
        assert_eq!(notice(Duration::from_secs(300)), Duration::from_secs(5));
        assert_eq!(notice(Duration::ZERO), Duration::ZERO);
    }
}
