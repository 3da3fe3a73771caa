//! Times in a timeline.

use std::time::{Duration, Instant};

/// A time in a timeline, as the number of nanoseconds since the request arrived. The number is negative if the time is
/// before the arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(i64);

impl Moment {
    /// The arrival of the request.
    pub(super) const START: Self = Self(0);

    /// Converts `instant` to a moment in the timeline of a request that arrived at `began`.
    pub(super) fn of(instant: Instant, began: Instant) -> Self {
        let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        match instant.checked_duration_since(began) {
            Some(after) => Self(nanos(after)),
            None => Self(-nanos(began.saturating_duration_since(instant))),
        }
    }

    /// Returns the time from `earlier` to this moment. Returns zero if `earlier` is later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or_default())
    }

    /// Returns the time from `earlier` to this moment in microseconds. Returns zero if `earlier` is later.
    pub(crate) fn micros_since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or_default() / 1000
    }

    /// Returns the time from the request's arrival to this moment. Returns zero if this moment is before the arrival.
    pub(crate) fn since_arrival(self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0).unwrap_or_default())
    }

    /// Returns the time from the request's arrival to this moment in microseconds. Returns zero if this moment is
    /// before the arrival.
    pub(crate) fn micros(self) -> u64 {
        self.micros_since(Self::START)
    }

    /// Converts this moment back to the instant, if the request arrived at `began`.
    pub(super) fn instant(self, began: Instant) -> Option<Instant> {
        let distance = Duration::from_nanos(self.0.unsigned_abs());
        if self.0 < 0 { began.checked_sub(distance) } else { began.checked_add(distance) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_exact_before_and_after_the_arrival() {
        let began = Instant::now();
        let hour = Duration::from_secs(3600);
        let (before, after) = (Moment::of(began - hour, began), Moment::of(began + hour, began));
        assert_eq!((before.since_arrival(), after.since_arrival()), (Duration::ZERO, hour));
        assert_eq!((after.since(before), before.since(after)), (2 * hour, Duration::ZERO));
        assert_eq!((before.micros(), after.micros(), after.micros_since(before)), (0, 3_600_000_000, 7_200_000_000));
        assert_eq!((before.instant(began), after.instant(began)), (Some(began - hour), Some(began + hour)));
    }
}
