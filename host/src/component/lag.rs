//! If a thread is behind with its work, refuses new requests at once instead of serving them late (S12).
//!
//! The number of requests does not show whether a thread is late: a thousand requests that wait for a database are no
//! load, but a few that compute are. So the host measures how long guests wait for their turns. From these waits it
//! computes how many requests may be in flight on the thread: fewer while the thread is late, and then more again, like
//! TCP's congestion window.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

/// How often the limit of requests in flight is adjusted.
const STEP: Duration = Duration::from_millis(25);
/// How many requests are always admitted. If so few requests are late, refusing more would not help.
const FEW: usize = 8;

thread_local! {
    /// The total time that guests of this thread have waited for their turns since the last adjustment, and the number
    /// of turns. None if the thread has no limit to adjust.
    static WAITS: Cell<Option<(Duration, u32)>> = const { Cell::new(None) };
}

/// Records that a guest of this thread begins to wait for its turn. Returns the present time, or none if the thread
/// does not measure waits.
pub(crate) fn yielded() -> Option<Instant> {
    WAITS.get().map(|_| Instant::now())
}

/// Records that a guest of this thread has its turn, after it has waited since `since`.
pub(crate) fn turn(since: Instant) {
    WAITS.set(WAITS.get().map(|(waits, turns)| (waits + since.elapsed(), turns + 1)));
}

/// The limit of requests in flight on one thread. A request is in flight until its response is sent.
pub(crate) struct Lag {
    max: Duration,
    in_flight: Rc<Cell<usize>>,
    limit: Cell<usize>,
    set: Cell<Option<Instant>>,
    /// Whether the thread was late when the limit was last adjusted.
    late: Cell<bool>,
}

/// Counts a request against its thread's limit until this value is dropped. Draining requests do not count: if many of
/// them only wait, they would leave no room for others. If they compute, they slow down the requests in flight, and the
/// limit falls.
pub(crate) struct InFlight(Rc<Cell<usize>>);

impl Lag {
    /// Makes the limit for the current thread. Its guests may wait up to `max` for their turns.
    pub(crate) fn new(max: Duration) -> Self {
        WAITS.set(Some((Duration::ZERO, 0)));
        Self {
            max,
            in_flight: Rc::default(),
            limit: Cell::new(usize::MAX),
            set: Cell::default(),
            late: Cell::default(),
        }
    }

    /// Admits a request, or returns none if the limit is reached.
    pub(crate) fn admit(&self) -> Option<InFlight> {
        let in_flight = self.in_flight.get();
        let now = Instant::now();
        if self.set.get().is_none_or(|set| now.saturating_duration_since(set) >= STEP) {
            self.set.set(Some(now));
            let (waits, turns) = WAITS.replace(Some((Duration::ZERO, 0))).unwrap_or_default();
            let wait = waits.checked_div(turns).unwrap_or_default();
            let late = wait > self.max;
            let limit = self.limit.get();
            match late {
                // As late as they are, so many are too many. Once may be a burst.
                true if self.late.get() => {
                    let limit = limit.min(in_flight) as f64 * self.max.div_duration_f64(wait);
                    self.limit.set(FEW.max(limit as usize));
                }
                true => {}
                false => self.limit.set(limit.saturating_add(limit / 32 + 1)),
            }
            self.late.set(late);
        }
        (in_flight < self.limit.get()).then(|| {
            self.in_flight.set(in_flight + 1);
            InFlight(self.in_flight.clone())
        })
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Passes `count` steps. At the end of each, two guests have had their turns `late` milliseconds late, and a
    /// request comes. Keeps the requests that are admitted in `admitted`, and returns how many these are.
    async fn steps(lag: &Lag, count: usize, late: u64, admitted: &mut Vec<InFlight>) -> usize {
        let before = admitted.len();
        for _ in 0..count {
            tokio::time::advance(Duration::from_millis(25)).await;
            turn(Instant::now() - Duration::from_millis(late));
            turn(Instant::now() - Duration::from_millis(late));
            admitted.extend(lag.admit());
        }
        admitted.len() - before
    }

    #[tokio::test(start_paused = true)]
    async fn s12_a_thread_that_is_late_lets_in_fewer() {
        tokio::time::advance(Duration::from_secs(1)).await;
        let lag = Lag::new(Duration::from_millis(20));
        let mut admitted: Vec<_> = (0..100).filter_map(|_| lag.admit()).collect();
        assert_eq!(admitted.len(), 100);
        // Late for one step, which may be a burst.
        assert_eq!(steps(&lag, 1, 30, &mut admitted).await, 1);
        assert_eq!(steps(&lag, 1, 20, &mut admitted).await, 1);
        assert_eq!(steps(&lag, 1, 30, &mut admitted).await, 1);
        // The lag goes on: each step admits fewer requests, down to a few.
        assert_eq!(steps(&lag, 1, 30, &mut admitted).await, 0);
        admitted.truncate(80);
        assert!(lag.admit().is_none());
        assert_eq!(steps(&lag, 20, 30, &mut admitted).await, 0);
        admitted.truncate(7);
        assert_eq!(steps(&lag, 1, 1000, &mut admitted).await, 1);
        assert!(lag.admit().is_none());
        // When the thread is in time again, each step admits one request more, up to the earlier number.
        assert_eq!(steps(&lag, 1, 1, &mut admitted).await, 1);
        assert!(lag.admit().is_none());
        assert_eq!(steps(&lag, 20, 1, &mut admitted).await, 20);
        // Requests between two steps do not change the limit.
        for late in [1, 1000] {
            turn(Instant::now() - Duration::from_millis(late));
            assert!((0..100).all(|_| lag.admit().is_none()), "{late}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn turns_are_counted_only_where_somebody_asks() {
        assert!(std::thread::spawn(|| yielded().is_none()).join().unwrap());
        let _lag = Lag::new(Duration::from_millis(20));
        assert!(yielded().is_some());
    }
}
