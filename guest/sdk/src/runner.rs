//! What the host calls after the response.

use crate::bindings::epilogue::background::types::{ResponseOutcome, Task, TaskError};
use crate::bindings::exports::epilogue::background::runner::Guest;
use crate::context::Running;
use crate::task::Work;
use crate::{defer, registry, scope};

pub(crate) struct Runner;

impl Guest for Runner {
    async fn run(task: Task) -> Result<(), TaskError> {
        let work = find(&task)?;
        Running::task(task)
            .scope(work)
            .await
            .map_err(TaskError::Failed)
    }

    async fn teardown(outcome: ResponseOutcome) -> Result<(), String> {
        scope::close(outcome).await
    }
}

fn find(task: &Task) -> Result<Work, TaskError> {
    if let Some(deferred) = defer::take(&task.args) {
        return deferred.ok_or_else(|| {
            TaskError::BadArgs(format!(
                "the closure of `{}` is not in this instance",
                task.name
            ))
        });
    }
    let registration = registry::find(&task.name).ok_or(TaskError::UnknownTask)?;
    registration.start(&task.args).map_err(TaskError::BadArgs)
}
