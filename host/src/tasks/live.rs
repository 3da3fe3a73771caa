//! Keeps the timelines of the requests and batches that have not ended.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::process::per_thread::PerThread;
use crate::tasks::timeline::Shared;

/// The timelines of all requests and batches that have not ended. Cloning this value is cheap.
#[derive(Clone, Default)]
pub(crate) struct Live(Arc<PerThread<Vec<Arc<Shared>>>>);

/// The number of running tasks and the number of waiting tasks.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tasks {
    pub(crate) running: usize,
    pub(crate) waiting: usize,
}

impl Live {
    /// Adds the timeline of a request or batch that begins.
    pub(crate) fn add(&self, timeline: &Arc<Shared>) {
        let mut own = self.0.own();
        timeline.live_place.store(own.len(), Relaxed);
        own.push(timeline.clone());
    }

    /// Removes and returns the timeline of a request or batch that has ended. The thread that added the timeline must
    /// call this function.
    pub(crate) fn remove(&self, timeline: &Arc<Shared>) -> Option<Arc<Shared>> {
        let mut own = self.0.own();
        let place = timeline.live_place.load(Relaxed);
        own.get(place).filter(|other| Arc::ptr_eq(other, timeline))?;
        let removed = own.swap_remove(place);
        if let Some(moved) = own.get(place) {
            moved.live_place.store(place, Relaxed);
        }
        Some(removed)
    }

    /// Returns the timelines of all requests and batches that have not ended, in no particular order. Some of them may
    /// end before the caller reads them.
    pub(crate) fn all(&self) -> Vec<Arc<Shared>> {
        self.0.each().flat_map(|own| own.clone()).collect()
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Instant;

    use super::*;

    #[test]
    fn requests_end_in_any_order() {
        let live = Live::default();
        let all: Vec<_> = (0..4).map(|_| Shared::begin(Instant::now(), false, |_| ())).collect();
        assert!(live.remove(&all[0]).is_none(), "removed before it was added");
        all.iter().for_each(|timeline| live.add(timeline));
        let mut left: Vec<_> = all.iter().map(Arc::as_ptr).collect();
        for ended in [1, 3, 0, 2] {
            assert!(Arc::ptr_eq(&live.remove(&all[ended]).unwrap(), &all[ended]));
            assert!(live.remove(&all[ended]).is_none(), "removed twice");
            left.retain(|timeline| *timeline != Arc::as_ptr(&all[ended]));
            let found: HashSet<_> = live.all().iter().map(Arc::as_ptr).collect();
            assert_eq!(found, left.iter().copied().collect());
        }
    }
}
