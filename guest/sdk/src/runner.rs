//! Implements the functions that the host calls after the response.

use crate::bindings::epilogue::background::types::{ResponseOutcome, Task, TaskError};
use crate::bindings::exports::epilogue::background::runner::Guest;
use crate::context::Running;
use crate::defer::{self, Taken};
use crate::task::Work;
use crate::{registry, scope};

pub(crate) struct Runner;

impl Guest for Runner {
    async fn run(task: Task) -> Result<(), TaskError> {
        let work = find(&task)?;
        Running::task(task).scope(work).await.map_err(TaskError::Failed)
    }

    async fn teardown(outcome: ResponseOutcome) -> Result<(), String> {
        scope::close(outcome).await
    }
}

fn find(task: &Task) -> Result<Work, TaskError> {
    match defer::take(&task.args) {
        Taken::Closure(work) => Ok(work),
        Taken::Gone => Err(TaskError::BadArgs(format!("the closure of `{}` is not in this instance", task.name))),
        Taken::Named => {
            let registration = registry::find(&task.name).ok_or(TaskError::UnknownTask)?;
            registration.start(&task.args).map_err(TaskError::BadArgs)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Scope, now};

    fn task(name: &str, args: &str) -> Task {
        Task { id: 1, name: name.to_owned(), args: args.into(), attempt: 1, outcome: ResponseOutcome::Delivered }
    }

    #[crate::task(name = "runner test")]
    async fn only_seven(number: u8) -> anyhow::Result<()> {
        anyhow::ensure!(Scope::current().outcome() == Some(ResponseOutcome::Delivered));
        if number == 7 { Ok(()) } else { Err(anyhow::anyhow!("{number} is not 7").context("no luck")) }
    }

    #[test]
    fn a_task_succeeds_or_fails_with_all_its_causes() {
        assert_eq!(now(Runner::run(task("runner test", "[7]"))), Ok(()));
        assert_eq!(
            now(Runner::run(task("runner test", "[8]"))),
            Err(TaskError::Failed("no luck: 8 is not 7".to_owned()))
        );
    }

    #[test]
    fn what_cannot_be_run_is_told_apart() {
        assert_eq!(now(Runner::run(task("nobody", "[]"))), Err(TaskError::UnknownTask));
        assert!(matches!(now(Runner::run(task("runner test", "[]"))), Err(TaskError::BadArgs(_))));
        assert_eq!(
            now(Runner::run(task("mail", r#"{"closure":123456}"#))),
            Err(TaskError::BadArgs("the closure of `mail` is not in this instance".to_owned()))
        );
    }
}
