//! Lists the workers that hold leases in the task engine, and the batches that these workers run.

use std::collections::BTreeMap;

use epilogue_engines::{self as engines, BatchState, Entry};
use serde::{Deserialize, Serialize};

use crate::tasks::store::TaskStore;
use crate::tasks::summary::BatchSummary;

/// The largest number of batches that the list shows for one worker.
const MAX_BATCHES: usize = 100;

/// A worker that holds leases.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Worker {
    /// The worker's name. The name begins with the setting `worker-id` or, if this setting is not set, with the
    /// machine's name. The value is `None` if the task engine does not know the name.
    pub(crate) name: Option<String>,
    /// The number of batches that the worker has leased.
    pub(crate) leased: usize,
    /// The first 100 batches that the worker has leased.
    pub(crate) batches: Vec<LeasedBatch>,
}

/// A batch that a worker has leased.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LeasedBatch {
    #[serde(flatten)]
    pub(crate) summary: BatchSummary,
    /// The number of seconds until the lease ends, if the worker does not extend the lease. The value is `None` if the
    /// task engine does not know the end of the lease.
    pub(crate) lease_left: Option<f64>,
}

/// Returns the workers that hold leases in the task engine, sorted by name.
///
/// # Errors
///
/// Returns an error if the task engine does not answer.
pub(crate) async fn workers(store: &TaskStore) -> engines::Result<Vec<Worker>> {
    let visited = store.call(|engine| async move {
        let mut workers = BTreeMap::<Option<String>, Worker>::new();
        let mut add = |entry: Entry| {
            let name = entry.worker.clone();
            let worker = workers.entry(name.clone()).or_insert(Worker { name, leased: 0, batches: Vec::new() });
            worker.leased += 1;
            if worker.batches.len() < MAX_BATCHES {
                let lease_left = entry.left.map(|left| left.as_secs_f64());
                worker.batches.push(LeasedBatch { summary: BatchSummary::of(&entry), lease_left });
            }
        };
        engine.visit(Some(BatchState::Leased), usize::MAX, &mut add).await?;
        Ok(workers)
    });
    Ok(visited.await?.into_values().collect())
}
