//! Collects times and calculates their percentiles.

use hdrhistogram::{Counter, Histogram};
use serde::Serialize;

/// The number of significant digits of a percentile. So the error is at most 1 %.
const DIGITS: u8 = 2;

/// Times, of which only the distribution is kept. `T` counts the equal times.
#[derive(Default)]
pub(super) struct Times<T: Counter> {
    /// The times in microseconds. The value is `None` before the first time.
    histogram: Option<Histogram<T>>,
}

/// Percentiles of times, such as the median, in microseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    p50: u64,
    p90: u64,
    p99: u64,
}

impl<T: Counter> Times<T> {
    /// Adds a time in microseconds.
    pub(super) fn record(&mut self, micros: u64) {
        if self.histogram.is_none() {
            self.histogram = Histogram::new(DIGITS).ok();
        }
        if let Some(histogram) = &mut self.histogram {
            // This fails only if there is no memory, because a histogram grows with its largest value.
            _ = histogram.record(micros);
        }
    }

    /// Adds all times of `other`.
    pub(super) fn add(&mut self, other: &Self) {
        match (&mut self.histogram, &other.histogram) {
            (Some(own), Some(other)) => _ = own.add(other),
            (None, Some(other)) => self.histogram = Some(other.clone()),
            (_, None) => {}
        }
    }

    /// Returns the number of times.
    pub(super) fn count(&self) -> u64 {
        self.histogram.as_ref().map_or(0, Histogram::len)
    }

    /// Returns the percentiles, or `None` if there are no times.
    pub(super) fn percentiles(&self) -> Option<Percentiles> {
        let histogram = self.histogram.as_ref()?;
        let at = |quantile| histogram.value_at_quantile(quantile);
        Some(Percentiles { p50: at(0.5), p90: at(0.9), p99: at(0.99) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(millis: impl Iterator<Item = u64>) -> Times<u32> {
        let mut times = Times::default();
        millis.for_each(|millis| times.record(millis * 1000));
        times
    }

    #[test]
    fn percentiles_are_exact_to_one_percent() {
        let mut all = times(1..=500);
        all.add(&times(501..=1000));
        let Percentiles { p50, p90, p99 } = all.percentiles().unwrap();
        for (found, right) in [(p50, 500_000), (p90, 900_000), (p99, 990_000)] {
            assert!(found.abs_diff(right) <= right / 100, "{found} instead of {right}");
        }
        assert_eq!(all.count(), 1000);
    }

    #[test]
    fn times_without_a_value_have_no_percentiles() {
        let mut none = Times::<u32>::default();
        none.add(&Times::default());
        assert_eq!((none.count(), none.percentiles()), (0, None));
        none.record(u64::MAX);
        assert_eq!(none.count(), 1);
    }
}
