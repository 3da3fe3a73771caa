//! The verdict on the next task: it runs, or it ends in a state without running (S3, S4, S6, S7, S13, S15).

#[cfg(test)]
mod model;

use crate::state::TaskState;

/// The results of the handler after which a task runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunWhen {
    /// Only after the handler returned a response and its durable tasks were stored.
    Success,
    /// Only after the handler failed, or its durable tasks could not be stored.
    Failure,
    /// After every result of the handler.
    Always,
}

/// The properties of a task that the verdict depends on.
#[derive(Debug, Clone, Copy)]
pub struct Task {
    /// The results of the handler after which the task runs.
    pub run_when: RunWhen,
    /// The guest cancelled the task.
    pub cancelled: bool,
    /// The task has the option that cancels it if the client leaves.
    pub cancel_on_disconnect: bool,
    /// The task is durable. A durable task leaves the queue when it is stored, so a durable task in the queue could not
    /// be stored.
    pub durable: bool,
    /// The task was bound to an instance that has died.
    pub orphaned: bool,
}

/// The state of the request and of the host that the verdict depends on.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The handler returned no response.
    pub handler_failed: bool,
    /// The reason why the request's durable tasks were not stored. In this case, the response was not sent. `None` if
    /// the tasks were stored, or if the request had no durable tasks.
    pub not_stored: Option<&'a str>,
    /// The client left before the response was complete.
    pub client_gone: bool,
    /// A task before this one failed.
    pub failed: bool,
    /// The failure policy is `stop`.
    pub stop_on_failure: bool,
    /// The host has stopped.
    pub stopped: bool,
    /// The time for all tasks of the request is used up.
    pub late: bool,
}

impl<'a> Situation<'a> {
    /// The final state of a task that must not run, and the reason for its record. `None` if the task must run.
    pub fn verdict(&self, task: &Task) -> Option<(TaskState, &'a str)> {
        if task.cancelled {
            Some((TaskState::Cancelled, "cancelled by the guest"))
        } else if let Some(why) = self.discards(task) {
            Some((TaskState::Discarded, why))
        } else if task.cancel_on_disconnect && self.client_gone {
            Some((TaskState::Cancelled, "the client left"))
        } else if self.failed && self.stop_on_failure {
            Some((TaskState::Skipped, "a task before it did not succeed"))
        } else if self.stopped {
            Some((TaskState::Abandoned, "the host stopped"))
        } else if task.orphaned {
            Some((TaskState::Abandoned, "the instance that held it had died"))
        } else if self.late {
            Some((TaskState::Abandoned, "the time for all tasks of the request was used up"))
        } else {
            None
        }
    }

    /// The reason why a task is discarded after this end of the handler (S6). `None` if it is not discarded.
    fn discards(&self, task: &Task) -> Option<&'a str> {
        let unsent = self.not_stored.is_some() && !task.durable;
        match task.run_when {
            RunWhen::Success if self.handler_failed => Some("the handler failed"),
            RunWhen::Success if unsent => Some("the response was not sent, because the durable tasks were not stored"),
            RunWhen::Failure if !self.handler_failed && !unsent => Some("the handler did not fail"),
            _ if task.durable => self.not_stored.or(Some("not stored")),
            _ => None,
        }
    }
}
