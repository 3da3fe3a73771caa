//! Calculates the pause between two attempts of a task.

use core::time::Duration;

/// The pauses between the attempts of a task. The pause doubles with each failed attempt, from `first` up to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The pause after the first failed attempt. A pause below one millisecond counts as one millisecond.
    pub first: Duration,
    /// The longest pause between two attempts. If `max` is shorter than `first`, every pause is `first`.
    pub max: Duration,
}

/// The shortest first pause. If the first pause were zero, all later pauses would be zero, too, because each pause is
/// twice the pause before it.
const LEAST: Duration = Duration::from_millis(1);

impl Backoff {
    /// The default backoff of a task that is not durable.
    pub const IN_PROCESS: Self = Self { first: Duration::from_millis(100), max: Duration::from_secs(10) };

    /// The default backoff of a durable task. The operator can set another backoff. If a task has ten attempts, the
    /// nine pauses together take at most about two hours.
    pub const DURABLE: Self = Self { first: Duration::from_secs(15), max: Duration::from_secs(3_600) };

    /// Returns the pause after the attempt with the number `attempt`. The pause is a random time between half of
    /// [`Backoff::longest`] and the whole of [`Backoff::longest`]. Because the pauses are random, tasks that failed at
    /// the same time run again at different times. `random` must be a new random number for each call.
    pub fn pause(self, attempt: u32, random: u32) -> Duration {
        let longest = self.longest(attempt);
        // The calculation uses whole numbers, because floating point would make each adapter some KiB larger.
        longest.saturating_sub(longest.saturating_mul(random >> 16) / (2 << 16))
    }

    /// Returns the longest pause after the attempt with the number `attempt`. The first attempt has the number 1.
    pub fn longest(self, attempt: u32) -> Duration {
        let first = self.first.max(LEAST);
        first.saturating_mul(1 << attempt.saturating_sub(1).min(31)).min(self.max.max(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_the_longest() {
        let longest = |attempt| Backoff::IN_PROCESS.longest(attempt);
        assert_eq!([1, 2, 3].map(longest), [100, 200, 400].map(Duration::from_millis));
        assert_eq!(longest(u32::MAX), Duration::from_secs(10));
        // The guide has a table with the same numbers.
        let durable = (1..10).map(|attempt| Backoff::DURABLE.longest(attempt).as_secs());
        assert!(durable.eq([15, 30, 60, 120, 240, 480, 960, 1_920, 3_600]));
    }

    #[test]
    fn what_makes_no_sense_has_a_meaning() {
        let none = Backoff { first: Duration::ZERO, max: Duration::ZERO };
        assert_eq!(none.longest(5), LEAST);
        let reversed = Backoff { first: Duration::from_secs(2), max: Duration::from_secs(1) };
        assert_eq!(reversed.longest(5), Duration::from_secs(2));
        let for_ever = Backoff { first: Duration::MAX, max: Duration::MAX };
        assert_eq!(for_ever.longest(2), Duration::MAX);
        assert!(for_ever.pause(2, u32::MAX) >= Duration::MAX / 4);
    }

    #[test]
    fn a_pause_is_between_half_and_all_of_it() {
        for full in (1..12).map(|attempt| Backoff::DURABLE.longest(attempt)).chain([LEAST]) {
            let backoff = Backoff { first: full, max: full };
            assert_eq!(backoff.pause(1, 0), full);
            let (middle, least) = (backoff.pause(1, u32::MAX / 2), backoff.pause(1, u32::MAX));
            assert!((full / 2..full / 2 + full / 1000).contains(&least), "{least:?} of {full:?}");
            assert!((full * 3 / 4..full * 3 / 4 + full / 1000).contains(&middle), "{middle:?} of {full:?}");
        }
    }
}
