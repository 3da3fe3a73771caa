//! What operators see of a stored batch, in the list of dead letters and in the list of workers.

use std::time::{Duration, UNIX_EPOCH};

use epilogue_engines::Entry;
use serde::{Deserialize, Serialize};

use crate::telemetry::timestamp;

/// A stored batch. If the batch cannot be read, only the fields `id` and `attempt` have a value.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct BatchSummary {
    pub(crate) id: String,
    /// The id of the request that stored the batch.
    pub(crate) request: String,
    /// The component that handled the request, by its id in the manifest.
    pub(crate) component: String,
    /// The name of the first task that has not ended.
    pub(crate) task: String,
    /// The number of the task `task` within its request.
    pub(crate) task_id: u64,
    /// The number of the task's newest attempt. The first attempt has number 1.
    pub(crate) attempt: u32,
    /// The time at which the request stored the batch, in the format of RFC 3339.
    pub(crate) since: String,
    /// The number of the batch's tasks that wait behind the task `task`.
    pub(crate) behind: usize,
}

impl BatchSummary {
    pub(crate) fn of(entry: &Entry) -> Self {
        let summary = Self { id: entry.id.clone(), attempt: entry.attempt, ..Self::default() };
        let Ok(batch) = entry.batch() else { return summary };
        let left = batch.tasks.get(entry.next as usize..).unwrap_or_default();
        Self {
            task: left.first().map(|task| task.name.clone()).unwrap_or_default(),
            task_id: left.first().map(|task| task.id).unwrap_or_default(),
            behind: left.len().saturating_sub(1),
            since: timestamp::of(UNIX_EPOCH + Duration::from_millis(batch.created)),
            request: batch.request_id,
            component: batch.component,
            ..summary
        }
    }
}
