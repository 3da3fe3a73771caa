//! Shares the time of a thread between the thread's guests, so that a computing guest does not block other guests
//! (promise S12).

mod line;

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use futures::task::AtomicWaker;

use crate::component::lag;
use crate::tasks::timeline::clock;
use line::Place;

pub(crate) use line::Purpose;

thread_local! {
    /// True if the guest that now runs on this thread has called [`turn`]. The guest then waits for its next turn to
    /// compute, even if the guest has computed for less than [`SHORT`].
    static TURN: Cell<bool> = const { Cell::new(false) };
}

/// Makes the calling guest wait for its next turn to compute. On each thread, only one guest computes at a time.
pub(crate) async fn turn() {
    let mut waited = false;
    poll_fn(|cx| match std::mem::replace(&mut waited, true) {
        true => Poll::Ready(()),
        false => {
            TURN.set(true);
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

/// If a guest computes for less than this time and wakes itself, the host immediately polls the guest again. Otherwise,
/// the guest would wait for the next round of the event loop, which would take longer than the rest of the guest's
/// work. Such short computations are common, because every guest that writes a response body wakes itself once.
const SHORT: Duration = Duration::from_micros(100);

/// Polls `future`. If `future` computes for longer than [`SHORT`], it must wait for its next turn to compute. Between
/// two turns of computing guests, the thread handles its timers, sockets and other tokio tasks. `start` is the time at
/// which the caller began the call, and counts as the beginning of the first poll.
///
/// At each epoch, which is every millisecond, a computing guest stops and immediately asks to be polled again. A tokio
/// `LocalSet` would poll the guest 61 times before the `LocalSet` checks timers and sockets. In a measurement with a
/// `LocalSet` only, one computing guest delayed other requests by 56 ms. With `fair`, a computing guest delays other
/// requests by 2 ms.
pub(crate) async fn fair<F: Future>(purpose: Purpose, start: Instant, future: F) -> F::Output {
    let mut future = pin!(future);
    let mut start = Some(start);
    let own = Arc::new(Own::default());
    let waker = Waker::from(own.clone());
    let mut place: Option<Place> = None;
    let mut yielded = None;
    poll_fn(|cx| {
        if place.as_ref().is_some_and(|place| !place.is_first(cx.waker())) {
            return Poll::Pending;
        }
        if let Some(yielded) = yielded.take() {
            lag::turn(yielded);
        }
        let begun = start.take().unwrap_or_else(Instant::now);
        let polled = loop {
            // A wake-up during the poll only sets `own.woken`.
            own.outer.take();
            own.woken.swap(false, AcqRel);
            clock::guest_begins();
            let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
            if polled.is_pending() {
                own.outer.register(cx.waker());
                if own.woken.swap(false, AcqRel) {
                    if !TURN.take() && begun.elapsed() < SHORT {
                        continue;
                    }
                    drop(place.take());
                    place = Some(Place::last(purpose, cx.waker()));
                    yielded = lag::yielded();
                    return Poll::Pending;
                }
            }
            break polled;
        };
        place = None;
        polled
    })
    .await
}

#[derive(Default)]
struct Own {
    woken: AtomicBool,
    outer: AtomicWaker,
}

impl Wake for Own {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, std::sync::atomic::Ordering::Release);
        self.outer.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use tokio::task::{JoinHandle, LocalSet, spawn_local, yield_now};

    use super::*;

    /// Computes for `slices` periods, each longer than [`SHORT`], and calls `slice` in each period.
    async fn compute(slices: usize, mut slice: impl FnMut()) {
        let mut left = slices;
        poll_fn(|cx| {
            if left == 0 {
                return Poll::Ready(());
            }
            left -= 1;
            slice();
            let begun = Instant::now();
            while begun.elapsed() < SHORT {
                std::hint::spin_loop();
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// Counts the rounds of the event loop. In each round, the thread handles its timers and sockets. After each count,
    /// the counting task yields, and tokio continues this task in the next round.
    fn rounds() -> (Rc<Cell<usize>>, JoinHandle<()>) {
        let rounds = Rc::<Cell<usize>>::default();
        let counter = rounds.clone();
        let counting = spawn_local(async move {
            loop {
                yield_now().await;
                counter.set(counter.get() + 1);
            }
        });
        (rounds, counting)
    }

    /// Makes guests compute until all guests together have computed for `slices` periods. Returns one pair for each
    /// period: the round of the event loop in which a guest computed, and the guest's index in `guests`.
    async fn compete(guests: &[Purpose], slices: usize) -> Vec<(usize, usize)> {
        let guests = guests.to_owned();
        let compete = async {
            let (rounds, _counting) = rounds();
            let seen = Rc::<RefCell<Vec<_>>>::default();
            for (guest, purpose) in guests.into_iter().enumerate() {
                let (rounds, seen) = (rounds.clone(), seen.clone());
                let slice = move || seen.borrow_mut().push((rounds.get(), guest));
                spawn_local(fair(purpose, Instant::now(), compute(usize::MAX, slice)));
            }
            while seen.borrow().len() < slices {
                yield_now().await;
            }
            seen.take()
        };
        LocalSet::new().run_until(compete).await
    }

    #[tokio::test]
    async fn s12_of_those_that_compute_one_goes_on_in_each_round() {
        let seen = compete(&[Purpose::Tasks; 4], 24).await;
        // Before a guest's first slice, the host does not know that the guest computes.
        let (first, last) = (seen[4].0, seen[23].0);
        assert!(last - first >= 18, "{seen:?}");
        let turns: Vec<_> = seen[4..24].iter().map(|(_, guest)| *guest).collect();
        assert_eq!(turns, [0, 1, 2, 3].repeat(5), "{seen:?}");
    }

    #[tokio::test]
    async fn s12_responses_and_tasks_take_turns() {
        let seen = compete(&[Purpose::Tasks, Purpose::Tasks, Purpose::Tasks, Purpose::Response], 16).await;
        let turns: Vec<_> = seen[4..16].iter().map(|(_, guest)| *guest).collect();
        assert_eq!(turns, [0, 3, 1, 3, 2, 3].repeat(2), "{seen:?}");
    }

    #[tokio::test]
    async fn who_leaves_the_line_holds_nobody_up() {
        let test = async {
            let slices = Rc::<Cell<usize>>::default();
            let guests: Vec<_> = (0..4)
                .map(|_| {
                    let slices = slices.clone();
                    spawn_local(fair(
                        Purpose::Tasks,
                        Instant::now(),
                        compute(usize::MAX, move || slices.set(slices.get() + 1)),
                    ))
                })
                .collect();
            // Some guests leave the line while they wait for their turn, and one guest leaves during its turn.
            for guest in &guests[..3] {
                let before = slices.get();
                while slices.get() < before + 6 {
                    yield_now().await;
                }
                guest.abort();
            }
            let before = slices.get();
            while slices.get() < before + 6 {
                yield_now().await;
            }
        };
        let ended = LocalSet::new().run_until(tokio::time::timeout(Duration::from_secs(60), test)).await;
        assert!(ended.is_ok(), "the line stands still");
    }

    #[tokio::test]
    async fn a_guest_that_merely_yields_goes_on_at_once() {
        let yields_briefly = || async {
            for _ in 0..3 {
                let mut yielded = false;
                poll_fn(|cx| match std::mem::replace(&mut yielded, true) {
                    true => Poll::Ready(()),
                    false => {
                        cx.waker().wake_by_ref();
                        Poll::Pending
                    }
                })
                .await;
            }
        };
        // The operating system may pause the thread for longer than [`SHORT`], but not in every attempt.
        let at_once = (0..1000).any(|_| {
            futures::FutureExt::now_or_never(fair(Purpose::Tasks, Instant::now(), yields_briefly())).is_some()
        });
        assert!(at_once);
    }
}
