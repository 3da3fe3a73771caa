//! Paces the log: what happens again and again is logged once a minute.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);

/// Paces an error that comes again and again: it is logged once a minute.
#[derive(Debug, Default)]
pub(super) struct OnceAMinute(Mutex<Option<Instant>>);

impl OnceAMinute {
    /// Whether the error is to be logged now: a minute has passed since the last time.
    pub(super) fn is_due(&self) -> bool {
        let (now, mut told) = (Instant::now(), self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let is_due = told.is_none_or(|told| now - told >= MINUTE);
        if is_due {
            *told = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_comes_twice_a_second_is_told_once_a_minute() {
        let (seldom, mut told) = (OnceAMinute::default(), Vec::new());
        for half_second in 0..300 {
            told.extend(seldom.is_due().then_some(half_second));
            tokio::time::advance(Duration::from_millis(500)).await;
        }
        assert_eq!(told, [0, 120, 240]);
    }
}
