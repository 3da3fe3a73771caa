//! Detects a standstill: a client that reads nothing, or a guest that writes nothing.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Returns the usual time between two checks, which is a quarter of the limit.
pub(super) fn step(limit: Duration) -> Duration {
    limit / 4
}

/// Calls `stands_still` after each `step`, and returns when `stands_still` has returned true at each call for the time
/// `limit`. The function may return up to one step late.
///
/// When `stands_still` first returns true, calls `tell` with the deadline: the time at which `limit` will have passed.
/// If `stands_still` then returns false, calls `tell` with `None`.
pub(super) async fn standstill(
    limit: Duration,
    step: Duration,
    mut stands_still: impl FnMut() -> bool,
    mut tell: impl FnMut(Option<Instant>),
) {
    // Between two checks, the thread needs a pause, in which it does its other work.
    let step = step.max(Duration::from_millis(1));
    let steps = limit.as_nanos().div_ceil(step.as_nanos());
    let mut still = 0;
    while still < steps {
        sleep(step).await;
        let stands = stands_still();
        match (stands, still) {
            (true, 0) => tell(Instant::now().checked_add(limit.saturating_sub(step))),
            (false, 1..) => tell(None),
            _ => {}
        }
        still = if stands { still + 1 } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(4);

    /// Runs [`standstill`] with `looks` as the results of the checks. Returns the arguments of `tell` in seconds from
    /// the start, and the second in which the function finds the standstill.
    async fn watch(looks: &[bool]) -> (Vec<Option<u64>>, u64) {
        let (begun, told, mut looks) = (Instant::now(), RefCell::<Vec<_>>::default(), looks.iter().copied());
        let tell = |end: Option<Instant>| told.borrow_mut().push(end.map(|end| (end - begun).as_secs()));
        standstill(LIMIT, step(LIMIT), || looks.next().unwrap_or(true), tell).await;
        (told.into_inner(), begun.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_standstill_is_announced_once_and_found_at_its_end() {
        assert_eq!(watch(&[]).await, (vec![Some(4)], 4));
        assert_eq!(watch(&[false, false]).await, (vec![Some(6)], 6));
    }

    #[tokio::test(start_paused = true)]
    async fn what_moves_again_has_the_whole_limit_again() {
        assert_eq!(watch(&[true, true, true, false]).await, (vec![Some(4), None, Some(8)], 8));
    }
}
