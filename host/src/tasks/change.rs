//! Retries or drops a stored batch of tasks, if an operator asks for it.

use epilogue_engines::{self as engines, Entry};

use crate::tasks::ids::RequestIds;
use crate::tasks::record::{TaskRecord, TaskState, announce_retried};
use crate::tasks::store::TaskStore;

/// What an operator does with a stored batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Makes a dead batch ready, so that a worker runs the batch again.
    Retry,
    /// Removes the batch from the task engine. The state of the batch does not matter.
    Drop,
}

impl Change {
    /// Changes one batch, and logs the change for each task of the batch. The process of the operator's command logs
    /// the change, because no host notices the change. Returns false if no batch has this id, or if the change is
    /// `Retry` and the batch is not dead.
    ///
    /// # Errors
    ///
    /// Returns an error if the task engine does not confirm the change.
    pub(crate) async fn make(self, store: &TaskStore, id: &str) -> engines::Result<bool> {
        let id = id.to_owned();
        let changed = store.call(|task_engine| async move {
            match self {
                Self::Retry => task_engine.retry_dead(&id).await,
                Self::Drop => task_engine.remove(&id).await,
            }
        });
        let changed = changed.await?;
        if let Some(entry) = &changed {
            self.announce(entry);
        }
        Ok(changed.is_some())
    }

    /// Logs one event for each task of the batch that has not ended. If the stored batch is not readable, this function
    /// does not know the tasks and logs nothing.
    fn announce(self, entry: &Entry) {
        let Ok(batch) = entry.batch() else { return };
        for task in batch.tasks.iter().skip(entry.next as usize) {
            match self {
                Self::Retry => announce_retried(&batch, task),
                Self::Drop => {
                    let attempt = if batch.tasks.get(entry.next as usize) == Some(task) { entry.attempt } else { 0 };
                    let dropped = TaskRecord { attempt, ..TaskRecord::of_stored(&batch, task, TaskState::Dropped) };
                    dropped.announce(RequestIds::of_batch(&batch));
                }
            }
        }
    }
}
