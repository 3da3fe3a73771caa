//! Makes the timelines of requests and batches, and finds the timelines of those that have not ended.

use std::cell::RefCell;
use std::sync::{Arc, Weak};
use std::time::Instant;

use crate::process::per_thread::PerThread;
use crate::tasks::timeline::{Shared, Timeline};

/// The number of timelines whose memory each thread keeps for later requests.
const SPARE: usize = 64;

thread_local! {
    /// The timelines of ended requests. Their memory is used again, because new memory for each request would cost as
    /// much as writing the timeline. A thread serves the requests of only one host, so all of them are in one [`Live`].
    static SPARES: RefCell<Vec<Arc<Shared>>> = const { RefCell::new(Vec::new()) };
}

/// All timelines of this process. Cloning this value is cheap.
///
/// A thread adds a timeline only when it needs new memory for the timeline, so most requests change nothing here.
#[derive(Clone, Default)]
pub(crate) struct Live(Arc<PerThread<Vec<Weak<Shared>>>>);

/// The number of running tasks and the number of waiting tasks.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tasks {
    pub(crate) running: usize,
    pub(crate) waiting: usize,
}

impl Live {
    /// Begins a timeline at `now`, which must be the current time. `fill` adds the first facts.
    pub(crate) fn begin(&self, now: Instant, has_output: bool, fill: impl FnOnce(&mut Timeline)) -> Arc<Shared> {
        if let Some(spare) = SPARES.with_borrow_mut(Vec::pop)
            && spare.has_output == has_output
            // If a reader still has the ended timeline, its memory cannot be used again. From now on, no reader gets
            // the timeline: the request has dropped its own reference, so it has set the timeline to not live before.
            && Arc::strong_count(&spare) == 1
        {
            let mut timeline = spare.lock();
            timeline.begin_again(now);
            fill(&mut timeline);
            drop(timeline);
            return spare;
        }
        let mut timeline = Timeline::begin(now);
        fill(&mut timeline);
        let shared = Arc::new(Shared::new(timeline, has_output));
        let mut own = self.0.own();
        if own.len() == own.capacity() {
            forget_dropped(&mut own);
        }
        own.push(Arc::downgrade(&shared));
        shared
    }

    /// Keeps the memory of a timeline that has ended for a later request on this thread.
    pub(crate) fn recycle(ended: Arc<Shared>) {
        SPARES.with_borrow_mut(|spares| {
            if spares.len() < SPARE {
                spares.push(ended);
            }
        });
    }

    /// Returns the timelines of all requests and batches that have an instance and have not ended, in no particular
    /// order. Some of them may end before the caller reads them.
    pub(crate) fn all(&self) -> Vec<Arc<Shared>> {
        let live = |own: &mut Vec<Weak<Shared>>| -> Vec<_> {
            forget_dropped(own);
            own.iter().filter_map(Weak::upgrade).filter(|shared| shared.is_live()).collect()
        };
        self.0.each().flat_map(|mut own| live(&mut own)).collect()
    }

    /// Returns the number of running tasks and the number of waiting tasks.
    pub(crate) fn tasks(&self) -> Tasks {
        let mut tasks = Tasks::default();
        for shared in self.all() {
            for task in shared.lock().tasks().filter(|task| task.end.is_none()) {
                let count = if task.is_running() { &mut tasks.running } else { &mut tasks.waiting };
                *count += 1;
            }
        }
        tasks
    }
}

/// Removes the timelines whose memory nobody uses or keeps.
fn forget_dropped(timelines: &mut Vec<Weak<Shared>>) {
    timelines.retain(|timeline| timeline.strong_count() > 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Begins the timeline of a request with this id.
    fn begin(live: &Live, id: &str) -> Arc<Shared> {
        let shared = live.begin(Instant::now(), true, |timeline| timeline.identify(id, "", ""));
        shared.set_live(true);
        shared
    }

    fn ids(live: &Live) -> Vec<String> {
        let mut ids: Vec<_> = live.all().iter().map(|shared| shared.lock().id().to_owned()).collect();
        ids.sort();
        ids
    }

    #[test]
    fn requests_end_in_any_order() {
        let live = Live::default();
        let mut all = ["0", "1", "2", "3"].map(|id| begin(&live, id)).to_vec();
        assert_eq!(ids(&live), ["0", "1", "2", "3"]);
        all[1].set_live(false);
        assert_eq!(ids(&live), ["0", "2", "3"]);
        all.truncate(1);
        assert_eq!(ids(&live), ["0"], "the others were dropped");
        all[0].set_live(false);
        assert!(live.all().is_empty());
    }

    #[test]
    fn the_memory_is_used_again_only_if_nobody_reads_the_ended_timeline() {
        let live = Live::default();
        let ended = begin(&live, "first");
        let (read, address) = (ended.clone(), Arc::as_ptr(&ended));
        ended.set_live(false);
        Live::recycle(ended);
        let second = begin(&live, "second");
        assert_eq!((read.lock().id(), second.lock().id()), ("first", "second"));
        drop(second);
        Live::recycle(read);
        let third = begin(&live, "third");
        assert_eq!((Arc::as_ptr(&third), ids(&live)), (address, vec!["third".to_owned()]));
    }

    #[test]
    fn dropped_timelines_take_no_place() {
        let live = Live::default();
        (0..1000).for_each(|_| drop(begin(&live, "")));
        assert!(live.0.own().len() < 8);
        assert!(live.all().is_empty() && live.0.own().is_empty());
    }
}
