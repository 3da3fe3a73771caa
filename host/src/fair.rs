//! Keeps a guest that never waits from starving its neighbours on the same thread (S12).

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel};
use std::task::{Poll, Wake, Waker};

use futures::task::AtomicWaker;
use tokio::time::Instant;

use crate::lag;

/// Polls `future` as usual, unless it woke itself while it was polled: then the thread's timers, sockets and other
/// tasks come first.
///
/// A busy guest yields at each epoch and asks to be polled again at once. A tokio `LocalSet` would grant that 61 times
/// before it looks at its timers and sockets, which cost neighbours 56 ms where this costs 2.
pub(crate) async fn fair<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let own = Arc::new(Own::default());
    let waker = Waker::from(own.clone());
    let mut yielded: Option<Instant> = None;
    std::future::poll_fn(|cx| {
        if let Some(yielded) = yielded.take() {
            lag::turn(yielded);
        }
        // Wake-ups during the poll find nobody to wake, and are only noted.
        own.outer.take();
        own.woken.swap(false, AcqRel);
        if let Poll::Ready(output) = future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            return Poll::Ready(output);
        }
        own.outer.register(cx.waker());
        if own.woken.swap(false, AcqRel) {
            // Polled once, it wakes the task after the thread's other work; it need not be kept for that.
            _ = pin!(tokio::task::yield_now()).poll(cx);
            yielded = lag::yielded();
        }
        Poll::Pending
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
