//! A side of the exchange on which nothing moves: a client that takes nothing, or a guest that writes nothing.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// In how many steps the limit passes. A standstill may last one step longer than the limit, because no step begins with the last
/// move.
const STEPS: u32 = 4;

/// Returns once `stands_still` has been true at each look for as long as `limit`.
///
/// `tell` hears when the time will be up, once a part of it has passed, and None if something then moves after all.
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
