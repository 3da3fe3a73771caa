//! Keeps the timelines of the requests and batches that have not ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::tasks::readers::Reader;
use crate::tasks::timeline::Shared;

/// The number of maps that keep the timelines. Each map has its own lock, so the serving threads rarely wait for each
/// other.
const SHARDS: usize = 16;

/// The timelines of all requests and batches that have not ended. Cloning this value is cheap.
#[derive(Clone, Default)]
pub(crate) struct Live(Arc<[Shard; SHARDS]>);

type Shard = Mutex<HashMap<usize, Arc<Shared>>>;

/// The number of running tasks and the number of waiting tasks.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tasks {
    pub(crate) running: usize,
    pub(crate) waiting: usize,
}

impl Live {
    /// Returns the timelines of all requests and batches that have not ended, in no particular order.
    pub(crate) fn all(&self) -> Vec<Arc<Shared>> {
        self.0.iter().flat_map(|shard| lock(shard).values().cloned().collect::<Vec<_>>()).collect()
    }

    /// Returns the number of running tasks and the number of waiting tasks.
    pub(crate) fn tasks(&self) -> Tasks {
        let mut tasks = Tasks::default();
        for shared in self.all() {
            for task in shared.lock().tasks.iter().filter(|task| task.end.is_none()) {
                let count = if task.is_running() { &mut tasks.running } else { &mut tasks.waiting };
                *count += 1;
            }
        }
        tasks
    }

    fn shard(&self, key: usize) -> MutexGuard<'_, HashMap<usize, Arc<Shared>>> {
        // The lowest bits of an address are always zero.
        lock(&self.0[(key >> 7) % SHARDS])
    }
}

fn lock(shard: &Shard) -> MutexGuard<'_, HashMap<usize, Arc<Shared>>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the memory address of the timeline, which identifies the timeline while it exists.
fn key(timeline: &Arc<Shared>) -> usize {
    Arc::as_ptr(timeline).addr()
}

impl Reader for Live {
    fn began(&self, timeline: &Arc<Shared>) {
        let key = key(timeline);
        self.shard(key).insert(key, timeline.clone());
    }

    fn ended(&self, timeline: &Arc<Shared>) {
        let key = key(timeline);
        self.shard(key).remove(&key);
    }
}
