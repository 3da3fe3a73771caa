//! How long a task waits between two attempts.

use std::time::Duration;

use epilogue_engines as engines;

use crate::contract::bindings::types;

/// The wait doubles with each failed attempt, from `first` up to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) max: Duration,
}

/// The shortest first wait: none at all would stay none however often it is doubled.
const LEAST: Duration = Duration::from_millis(1);

impl Backoff {
    /// For a task that stays in the process and does not say.
    pub(crate) const IN_PROCESS: Self = Self { first: Duration::from_millis(100), max: Duration::from_secs(10) };

    /// For a durable task that does not say, where the operator does not either. With ten attempts it is retried for up to two
    /// hours.
    pub(crate) const DURABLE: Self = Self { first: Duration::from_secs(15), max: Duration::from_secs(3_600) };

    /// The wait after this attempt: at random between half of what the schedule says and all of it, so that tasks that failed
    /// together are not all tried together.
    pub(crate) fn pause(self, attempt: u32) -> Duration {
        self.longest(attempt).mul_f64(1.0 - fastrand::f64() / 2.0)
    }

    /// What the schedule says of the wait after this attempt.
    pub(crate) fn longest(self, attempt: u32) -> Duration {
        let first = self.first.max(LEAST);
        first.saturating_mul(1 << attempt.saturating_sub(1).min(31)).min(self.max.max(first))
    }
}

impl From<types::Backoff> for Backoff {
    fn from(backoff: types::Backoff) -> Self {
        Self { first: Duration::from_nanos(backoff.first), max: Duration::from_nanos(backoff.max) }
    }
}

impl From<engines::Backoff> for Backoff {
    fn from(engines::Backoff { first, max }: engines::Backoff) -> Self {
        Self { first, max }
    }
}

impl From<Backoff> for engines::Backoff {
    fn from(Backoff { first, max }: Backoff) -> Self {
        Self { first, max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use epilogue_manifest::settings::Settings;

    fn seconds(backoff: Backoff, attempts: u32) -> Vec<u64> {
        (1..attempts).map(|attempt| backoff.longest(attempt).as_secs()).collect()
    }

    #[test]
    fn it_doubles_up_to_the_longest() {
        let settings = Settings::default();
        let own = Backoff { first: settings.durable_backoff, max: settings.durable_max_backoff };
        assert_eq!(own, Backoff::DURABLE);
        assert_eq!(settings.durable_attempts.get(), 10);
        // As the documentation's table has it.
        assert_eq!(seconds(Backoff::DURABLE, 10), [15, 30, 60, 120, 240, 480, 960, 1_920, 3_600]);
        assert_eq!(Backoff::IN_PROCESS.longest(1), Duration::from_millis(100));
        assert_eq!(Backoff::IN_PROCESS.longest(3), Duration::from_millis(400));
        assert_eq!(Backoff::IN_PROCESS.longest(u32::MAX), Duration::from_secs(10));
    }

    #[test]
    fn what_makes_no_sense_has_a_meaning() {
        let none = Backoff { first: Duration::ZERO, max: Duration::ZERO };
        assert_eq!(none.longest(5), LEAST);
        let reversed = Backoff { first: Duration::from_secs(2), max: Duration::from_secs(1) };
        assert_eq!(reversed.longest(5), Duration::from_secs(2));
        let for_ever = Backoff { first: Duration::MAX, max: Duration::MAX };
        assert_eq!(for_ever.longest(2), Duration::MAX);
        assert!(for_ever.pause(2) >= Duration::MAX / 4);
    }

    #[test]
    fn a_pause_is_between_half_and_all_of_it() {
        let full = Duration::from_secs(240);
        let pauses: Vec<_> = (0..1_000).map(|_| Backoff::DURABLE.pause(5)).collect();
        assert!(pauses.iter().all(|pause| (full / 2..=full).contains(pause)), "{pauses:?}");
        // All of that range is used.
        assert!(pauses.iter().any(|pause| *pause < full.mul_f64(0.55)), "{pauses:?}");
        assert!(pauses.iter().any(|pause| *pause > full.mul_f64(0.95)), "{pauses:?}");
    }
}
