//! Paces the log: what happens again and again is logged once a minute, with a count.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);

/// Paces an event that happens again and again: it is logged once a minute.
#[derive(Debug, Default)]
pub(crate) struct OnceAMinute(Mutex<Pace>);

#[derive(Debug, Default)]
struct Pace {
    told: Option<Instant>,
    /// How often the event has happened since it was last logged.
    times: u64,
}

impl OnceAMinute {
    /// Makes the pace of an event that has never happened.
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Pace { told: None, times: 0 }))
    }

    /// Notes that the event happens. If it is to be logged now, because it was not logged within the last minute, returns
    /// how often it has happened since then, this time included.
    pub(crate) fn due(&self) -> Option<u64> {
        let (now, mut pace) = (Instant::now(), self.0.lock().unwrap_or_else(PoisonError::into_inner));
        pace.times += 1;
        if pace.told.is_some_and(|told| now - told < MINUTE) {
            return None;
        }
        pace.told = Some(now);
        Some(std::mem::take(&mut pace.times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_comes_twice_a_second_is_told_once_a_minute_with_its_count() {
        let (seldom, mut told) = (OnceAMinute::new(), Vec::new());
        for half_second in 0..300 {
            told.extend(seldom.due().map(|times| (half_second, times)));
            tokio::time::advance(Duration::from_millis(500)).await;
        }
        assert_eq!(told, [(0, 1), (120, 120), (240, 120)]);
    }
}
