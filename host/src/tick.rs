//! While requests come, a timer that is due before theirs.
//!
//! Whoever sets a tokio timer that is due before all others has tokio's driver told by a system call, as it may be asleep on another
//! thread. It never is here, since a request's timers are those of its own thread; but tokio does not know. A request sets
//! three, and each was the first, as deadlines that are not reached never come near.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// The time between two ticks: shorter than a request's deadlines, and than most tasks sleep.
const TICK: Duration = Duration::from_millis(10);

/// One thread's ticks.
#[derive(Clone, Default)]
pub(crate) struct Ticks(Rc<Flags>);

#[derive(Default)]
struct Flags {
    ticking: Cell<bool>,
    /// Whether a request has come since the last tick.
    needed: Cell<bool>,
}

impl Ticks {
    /// Notes that a request has come, and starts the ticks if they have stopped.
    pub(crate) fn come(&self) {
        self.0.needed.set(true);
        if !self.0.ticking.replace(true) {
            tokio::task::spawn_local(self.clone().tick());
        }
    }

    /// Ticks until no request has come between two ticks.
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
