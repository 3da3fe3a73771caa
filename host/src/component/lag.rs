//! Limits the requests in flight on a late thread, where computing guests wait too long for their turns (promise S12).
//! On a late thread, the host immediately refuses new requests instead of serving them late.
//!
//! The number of requests on a thread does not show whether the thread is late. A thousand requests that only wait for
//! a database hardly use the thread, but a few requests that compute can make the thread late. Therefore, the host
//! measures how long computing guests wait for their turns. While the thread is late, the host lowers the limit on the
//! requests in flight on the thread. When the thread is no longer late, the host raises the limit again, as TCP does
//! with its congestion window.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

/// The shortest time between two changes of the limit on requests in flight.
const STEP: Duration = Duration::from_millis(25);
/// The lowest value of the limit on requests in flight. If a thread is late even with so few requests, a lower limit
/// would not help.
const FEW: usize = 8;

thread_local! {
    /// The total time that this thread's guests have waited for turns to compute, and the number of turns that these
    /// guests have got. Each check of the limit sets both numbers to zero. The value is `None` if the thread has no
    /// limit.
    static WAITS: Cell<Option<(Duration, u32)>> = const { Cell::new(None) };
}

/// The host calls this function when a guest of this thread begins to wait for a turn to compute. Returns the current
/// time, which the host later passes to [`turn`]. Returns `None` if the thread has no limit on requests in flight,
/// because the host then does not measure the waits.
pub(crate) fn yielded() -> Option<Instant> {
    WAITS.get().map(|_| Instant::now())
}

/// Records that a guest of this thread now gets its turn to compute. `since` is the time at which the guest began to
/// wait for this turn.
pub(crate) fn turn(since: Instant) {
    WAITS.set(WAITS.get().map(|(waits, turns)| (waits + since.elapsed(), turns + 1)));
}

/// Limits the requests in flight on one thread. A request is in flight until its response is sent.
pub(crate) struct Lag {
    max: Duration,
    in_flight: Rc<Cell<usize>>,
    limit: Cell<usize>,
    set: Cell<Option<Instant>>,
    /// True if the thread was late at the last check of the limit.
    late: Cell<bool>,
}

/// Counts a request in flight on its thread until this value is dropped. The host drops the value when the request
/// begins to drain. A draining request does not count, because tasks that only wait hardly use the thread. If tasks of
/// draining requests compute, the guests of the thread wait longer for their turns. The host measures these waits and
/// lowers the limit.
pub(crate) struct InFlight(Rc<Cell<usize>>);

impl Lag {
    /// Makes the limit for the current thread. The thread is late if its guests wait for their turns longer than `max`
    /// on average.
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

    /// Counts a new request, which has arrived at `now`, as in flight. If the thread has reached its limit on requests
    /// in flight, this function counts nothing and returns `None`.
    pub(crate) fn admit(&self, now: Instant) -> Option<InFlight> {
        let in_flight = self.in_flight.get();
        if self.set.get().is_none_or(|set| now.saturating_duration_since(set) >= STEP) {
            self.set.set(Some(now));
            let (waits, turns) = WAITS.replace(Some((Duration::ZERO, 0))).unwrap_or_default();
            let wait = waits.checked_div(turns).unwrap_or_default();
            let late = wait > self.max;
            let limit = self.limit.get();
            match late {
                // The longer the guests wait, the more the host lowers the limit. The host does not lower the limit if
                // the thread is late for the first time, because the reason may be a short burst of requests.
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

    /// Advances the clock by `count` steps. At the end of each step, two guests get their turns `late` milliseconds
    /// late, and a new request arrives. Adds the requests that `lag` admits to `admitted`, and returns how many
    /// requests `lag` has admitted in these steps.
    async fn steps(lag: &Lag, count: usize, late: u64, admitted: &mut Vec<InFlight>) -> usize {
        let before = admitted.len();
        for _ in 0..count {
            tokio::time::advance(Duration::from_millis(25)).await;
            turn(Instant::now() - Duration::from_millis(late));
            turn(Instant::now() - Duration::from_millis(late));
            admitted.extend(lag.admit(Instant::now()));
        }
        admitted.len() - before
    }

    #[tokio::test(start_paused = true)]
    async fn s12_a_thread_that_is_late_lets_in_fewer() {
        tokio::time::advance(Duration::from_secs(1)).await;
        let lag = Lag::new(Duration::from_millis(20));
        let mut admitted: Vec<_> = (0..100).filter_map(|_| lag.admit(Instant::now())).collect();
        assert_eq!(admitted.len(), 100);
        // The thread is late for one step only. The reason may be a short burst of requests, so the limit stays the
        // same.
        assert_eq!(steps(&lag, 1, 30, &mut admitted).await, 1);
        assert_eq!(steps(&lag, 1, 20, &mut admitted).await, 1);
        assert_eq!(steps(&lag, 1, 30, &mut admitted).await, 1);
        // The thread stays late. The limit falls with each step, down to its lowest value.
        assert_eq!(steps(&lag, 1, 30, &mut admitted).await, 0);
        admitted.truncate(80);
        assert!(lag.admit(Instant::now()).is_none());
        assert_eq!(steps(&lag, 20, 30, &mut admitted).await, 0);
        admitted.truncate(7);
        assert_eq!(steps(&lag, 1, 1000, &mut admitted).await, 1);
        assert!(lag.admit(Instant::now()).is_none());
        // When the thread is no longer late, the limit rises with each step, and each step admits one more request.
        assert_eq!(steps(&lag, 1, 1, &mut admitted).await, 1);
        assert!(lag.admit(Instant::now()).is_none());
        assert_eq!(steps(&lag, 20, 1, &mut admitted).await, 20);
        // Requests between two steps do not change the limit.
        for late in [1, 1000] {
            turn(Instant::now() - Duration::from_millis(late));
            assert!((0..100).all(|_| lag.admit(Instant::now()).is_none()), "{late}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn turns_are_counted_only_where_somebody_asks() {
        assert!(std::thread::spawn(|| yielded().is_none()).join().unwrap());
        let _lag = Lag::new(Duration::from_millis(20));
        assert!(yielded().is_some());
    }
}
