//! Detects a standstill: a client that reads nothing, or a guest that writes nothing.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How many steps a limit has. A standstill may last one step longer than its limit, because no step begins with the
/// last move.
const STEPS: u32 = 4;

/// Returns once `stands_still` has been true at each look for as long as `limit`.
///
/// `tell` is called with the time at which the limit ends once a part of it has passed, and with none if something
/// moves after that.
pub(super) async fn standstill(
    limit: Duration,
    mut stands_still: impl FnMut() -> bool,
    mut tell: impl FnMut(Option<Instant>),
) {
    // Without a pause between two looks the thread would do nothing else.
    let step = (limit / STEPS).max(Duration::from_millis(1));
    let mut still = 0;
    while still < STEPS {
        sleep(step).await;
        let stands = stands_still();
        match (stands, still) {
            (true, 0) => tell(Instant::now().checked_add(step * (STEPS - 1))),
            (false, 1..) => tell(None),
            _ => {}
        }
        still = if stands { still + 1 } else { 0 };
    }
}
