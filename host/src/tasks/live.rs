//! Keeps the timelines of the requests and batches that have not ended.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::process::per_thread::PerThread;
use crate::tasks::timeline::Shared;

/// The timelines of all requests and batches that have not ended. Cloning this value is cheap.
#[derive(Clone, Default)]
pub(crate) struct Live(Arc<PerThread<HashMap<usize, Arc<Shared>>>>);

/// The number of running tasks and the number of waiting tasks.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tasks {
    pub(crate) running: usize,
    pub(crate) waiting: usize,
}

impl Live {
    /// Adds the timeline of a request or batch that begins.
    pub(crate) fn add(&self, timeline: &Arc<Shared>) {
        self.0.own().insert(key(timeline), timeline.clone());
    }

    /// Removes and returns the timeline of a request or batch that has ended. The thread that added the timeline must
    /// call this function.
    pub(crate) fn remove(&self, timeline: &Arc<Shared>) -> Option<Arc<Shared>> {
        self.0.own().remove(&key(timeline))
    }

    /// Returns the timelines of all requests and batches that have not ended, in no particular order. Some of them may
    /// end before the caller reads them.
    pub(crate) fn all(&self) -> Vec<Arc<Shared>> {
        self.0.each().flat_map(|own| own.values().cloned().collect::<Vec<_>>()).collect()
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

/// Returns the memory address of the timeline, which identifies the timeline while it exists.
fn key(timeline: &Arc<Shared>) -> usize {
    Arc::as_ptr(timeline).addr()
}
