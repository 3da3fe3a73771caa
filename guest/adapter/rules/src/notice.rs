//! When the guest is told that its deadline is near (S10).

use core::time::Duration;

/// A stop is announced when this part of the time is left …
const PART: u32 = 10;
/// … and at most this long before it.
const MAX: Duration = Duration::from_secs(5);

/// How long before its deadline a call is told of it. `time` is the total time of the call.
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
