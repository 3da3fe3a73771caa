//! Decides whether the next task runs. If the task must not run, the verdict is the task's final state (S3, S4, S6, S7,
//! S13, S15).

#[cfg(test)]
mod model;

use crate::state::TaskState;

/// Says whether a task runs after the handler has succeeded, after the handler has failed, or in both cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunWhen {
    /// The task runs only if the handler returned a response and the host stored the handler's durable tasks.
    Success,
    /// The task runs only if the handler failed, or if the host could not store the handler's durable tasks.
    Failure,
    /// The task runs after every result of the handler.
    Always,
}

/// The properties of a task on which the verdict depends.
#[derive(Debug, Clone, Copy)]
pub struct Task {
    /// Says after which results of the handler the task runs.
    pub run_when: RunWhen,
    /// True if the guest cancelled the task.
    pub cancelled: bool,
    /// True if the task has the option `cancel-on-disconnect`.
    pub cancel_on_disconnect: bool,
    /// True if the task is durable. When the host stores a durable task, the task leaves the queue. If a durable task
    /// is still in the queue, it was not stored.
    pub durable: bool,
    /// True if the task was bound to an instance that has died.
    pub orphaned: bool,
}

/// The state of the request and of the host on which the verdict depends.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// True if the handler returned no response.
    pub handler_failed: bool,
    /// The reason why the host could not store the request's durable tasks. If there is a reason, the host did not send
    /// the response. `None` if the host stored the tasks, or if the request had no durable tasks.
    pub not_stored: Option<&'a str>,
    /// True if the client left before the response was complete.
    pub client_gone: bool,
    /// True if an earlier task of the request failed.
    pub failed: bool,
    /// True if the failure policy is `stop`.
    pub stop_on_failure: bool,
    /// True if the host has stopped.
    pub stopped: bool,
    /// True if the time for all tasks of the request is over.
    pub late: bool,
}

impl<'a> Situation<'a> {
    /// Returns the final state of a task that must not run, and the reason for the task's record. Returns `None` if the
    /// task must run.
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

    /// Returns the reason why the host discards the task after this end of the handler (S6). Returns `None` if the host
    /// does not discard the task.
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
