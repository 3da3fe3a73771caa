//! Shares a timeline between a request and its readers.

use std::cell::RefCell;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::Timeline;

/// The number of timelines whose memory each thread keeps for later requests.
const SPARE: usize = 64;

thread_local! {
    /// The timelines of ended requests. Their memory is used again, because new memory for each request would cost as
    /// much as writing the timeline.
    static SPARES: RefCell<Vec<Arc<Shared>>> = const { RefCell::new(Vec::new()) };
}

/// A timeline that a request and its readers share.
#[derive(Debug)]
pub(crate) struct Shared {
    timeline: Mutex<Timeline>,
    /// True if the timeline also contains the guest's output.
    pub(crate) has_output: bool,
    /// The place of the timeline in [`Live`](crate::tasks::live::Live).
    pub(crate) live_place: AtomicUsize,
}

impl Shared {
    /// Begins a timeline at `now`, which must be the current time. `fill` adds the first facts.
    pub(crate) fn begin(now: Instant, has_output: bool, fill: impl FnOnce(&mut Timeline)) -> Arc<Self> {
        let spare = SPARES.with_borrow_mut(Vec::pop).filter(|spare| spare.has_output == has_output);
        if let Some(mut shared) = spare
            // If a reader still has the ended timeline, its memory cannot be used again.
            && let Some(Self { timeline, .. }) = Arc::get_mut(&mut shared)
        {
            let timeline = timeline.get_mut().unwrap_or_else(PoisonError::into_inner);
            timeline.begin_again(now);
            fill(timeline);
            return shared;
        }
        let mut timeline = Timeline::begin(now);
        fill(&mut timeline);
        Arc::new(Self { timeline: Mutex::new(timeline), has_output, live_place: AtomicUsize::default() })
    }

    /// Keeps the memory of a timeline that has ended for a later request on this thread.
    pub(crate) fn recycle(self: Arc<Self>) {
        SPARES.with_borrow_mut(|spares| {
            if spares.len() < SPARE {
                spares.push(self);
            }
        });
    }

    /// Locks the timeline. If another thread has panicked while that thread held the lock, the timeline is still
    /// usable, because each single change leaves the timeline valid.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Timeline> {
        self.timeline.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_used_again_only_if_nobody_reads_the_ended_timeline() {
        let ended = Shared::begin(Instant::now(), true, |timeline| timeline.identify("first", "", ""));
        let (read, address) = (ended.clone(), Arc::as_ptr(&ended));
        ended.recycle();
        let second = Shared::begin(Instant::now(), true, |_| ());
        assert_eq!((read.lock().id(), second.lock().id()), ("first", ""));
        drop(second);
        read.recycle();
        let third = Shared::begin(Instant::now(), true, |timeline| timeline.identify("third", "", ""));
        assert_eq!((Arc::as_ptr(&third), third.lock().id()), (address, "third"));
    }
}
