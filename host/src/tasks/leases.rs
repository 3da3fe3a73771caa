//! Lists the workers that hold leases in the task engine, and the batches that these workers run.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use epilogue_engines::{self as engines, BatchState, Entry};
use serde::{Deserialize, Serialize};

use crate::tasks::store::TaskStore;
use crate::telemetry::timestamp;

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
    pub(crate) id: String,
    /// The id of the request that stored the batch. The text is empty if the batch cannot be read.
    pub(crate) request: String,
    /// The name of the running task, or of the next task if no task runs. The text is empty if the batch cannot be
    /// read.
    pub(crate) task: String,
    /// The number of the task's newest attempt. The first attempt has number 1.
    pub(crate) attempt: u32,
    /// The number of the batch's tasks that wait behind the task `task`.
    pub(crate) behind: usize,
    /// The time at which the request stored the batch, in the format of RFC 3339.
    pub(crate) since: String,
    /// The number of seconds until the lease ends, if the worker does not extend the lease. The value is `None` if the
    /// task engine does not know the end of the lease.
    pub(crate) lease_left: Option<f64>,
}

impl LeasedBatch {
    fn of(entry: &Entry) -> Self {
        let batch = entry.batch().ok();
        let left = batch.as_ref().and_then(|batch| batch.tasks.get(entry.next as usize..)).unwrap_or_default();
        let since = batch.as_ref().map(|batch| UNIX_EPOCH + Duration::from_millis(batch.created));
        Self {
            id: entry.id.clone(),
            request: batch.as_ref().map(|batch| batch.request_id.clone()).unwrap_or_default(),
            task: left.first().map(|task| task.name.clone()).unwrap_or_default(),
            attempt: entry.attempt,
            behind: left.len().saturating_sub(1),
            since: since.map(timestamp::of).unwrap_or_default(),
            lease_left: entry.left.map(|left| left.as_secs_f64()),
        }
    }
}

/// Returns the workers that hold leases in the task engine, sorted by name.
///
/// # Errors
///
/// Returns an error if the task engine does not answer.
pub(crate) async fn workers(store: &TaskStore) -> engines::Result<Vec<Worker>> {
    let visited = store.call(|engine| async move {
        let mut workers = BTreeMap::<Option<String>, (usize, Vec<LeasedBatch>)>::new();
        let mut add = |entry: Entry| {
            let (leased, batches) = workers.entry(entry.worker.clone()).or_default();
            *leased += 1;
            if batches.len() < MAX_BATCHES {
                batches.push(LeasedBatch::of(&entry));
            }
        };
        engine.visit(Some(BatchState::Leased), usize::MAX, &mut add).await?;
        Ok(workers)
    });
    let workers = visited.await?.into_iter();
    Ok(workers.map(|(name, (leased, batches))| Worker { name, leased, batches }).collect())
}
