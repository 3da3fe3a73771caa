//! Logs once a minute that the task engine is unavailable, and logs when the task engine is available again.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use epilogue_engines::Error;
use tokio::time::Instant;

/// The time after which the host logs the same outage again.
const AGAIN: Duration = Duration::from_secs(60);

/// Remembers since when the task engine is unavailable. All threads of a process share this value.
#[derive(Debug, Default)]
pub(super) struct Outage(Mutex<Option<Since>>);

#[derive(Clone, Copy, Debug)]
struct Since {
    began: Instant,
    told: Instant,
}

impl Outage {
    /// Records that a call to the task engine has failed. Returns the text that the caller must log, or `None` if the
    /// host has logged this outage less than a minute ago.
    pub(super) fn goes_on(&self, error: &Error) -> Option<String> {
        let now = Instant::now();
        let mut since = self.since();
        match &mut *since {
            None => {
                *since = Some(Since { began: now, told: now });
                Some(error.to_string())
            }
            Some(since) if now - since.told >= AGAIN => {
                since.told = now;
                let seconds = (now - since.began).as_secs();
                Some(format!("no durable tasks have been leased for {seconds} s: {error}"))
            }
            Some(_) => None,
        }
    }

    /// Records that a call to the task engine has succeeded. If the previous call had failed, returns the text that the
    /// caller must log.
    pub(super) fn is_over(&self) -> Option<String> {
        let since = self.since().take()?;
        Some(format!("the task engine is available again, after {} s", since.began.elapsed().as_secs()))
    }

    fn since(&self) -> MutexGuard<'_, Option<Since>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_told_once_a_minute_and_so_is_its_end() {
        let (outage, error) = (Outage::default(), Error::Unavailable("gone".to_owned()));
        assert_eq!(outage.is_over(), None);
        let mut told = Vec::new();
        for second in 0..150 {
            told.extend(outage.goes_on(&error).map(|text| (second, text)));
            // Another thread detects the same outage.
            assert_eq!(outage.goes_on(&error), None);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let again = |seconds| format!("no durable tasks have been leased for {seconds} s: {error}");
        assert_eq!(told, [(0, error.to_string()), (60, again(60)), (120, again(120))]);
        assert_eq!(outage.is_over().as_deref(), Some("the task engine is available again, after 150 s"));
        assert_eq!(outage.is_over(), None);
    }
}
