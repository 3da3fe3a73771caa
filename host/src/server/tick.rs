//! Saves system calls: on each thread, a short timer always expires before the timers of the thread's requests.
//!
//! If a new timer will expire before all other timers, tokio wakes its driver (the code that waits for timers and I/O)
//! with a system call, because the driver may sleep on another thread. In this host, the driver always runs on the same
//! thread as the timers, but tokio does not use this fact. For each request, the host sets three timers. Without the
//! short timer, each of these three timers could be the first to expire, and would cost a system call.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// The duration of the short timer. This duration is shorter than the deadlines of a request, and shorter than most
/// sleeps of tasks.
const TICK: Duration = Duration::from_millis(10);

/// The short timer of one thread. As long as requests arrive, the timer starts again each time that it expires.
#[derive(Clone, Default)]
pub(crate) struct Ticks(Rc<Flags>);

#[derive(Default)]
struct Flags {
    ticking: Cell<bool>,
    /// True if a request has arrived since the short timer last expired.
    needed: Cell<bool>,
}

impl Ticks {
    /// Records that a request has arrived. If the short timer has stopped, starts the timer again.
    pub(crate) fn come(&self) {
        self.0.needed.set(true);
        if !self.0.ticking.replace(true) {
            tokio::task::spawn_local(self.clone().tick());
        }
    }

    /// Starts the short timer again each time that the timer expires. Ends if no request has arrived between a start of
    /// the timer and its expiry.
    async fn tick(self) {
        while self.0.needed.replace(false) {
            tokio::time::sleep(TICK).await;
        }
        self.0.ticking.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ticks_while_requests_come() {
        let ticks = Ticks::default();
        let test = async {
            for _ in 0..10 {
                ticks.come();
                tokio::time::sleep(TICK / 2).await;
                assert!(ticks.0.ticking.get());
            }
            tokio::time::sleep(3 * TICK).await;
            assert!(!ticks.0.ticking.get());
        };
        tokio::task::LocalSet::new().run_until(test).await;
    }
}
