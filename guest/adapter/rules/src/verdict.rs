//! Decides whether the next task of a request runs. If the task must not run, the decision is the task's final state,
//! such as `skipped` (S3, S4, S6, S7, S13, S15).

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
    /// The task runs in both cases: after a success and after a failure of the handler.
    Always,
}

/// The properties of a task that decide whether the task runs.
#[derive(Debug, Clone, Copy)]
pub struct Task {
    /// Says after which results of the handler the task runs.
    pub run_when: RunWhen,
    /// True if the guest cancelled the task.
    pub cancelled: bool,
    /// True if the task has the option `cancel-on-disconnect`.
    pub cancel_on_disconnect: bool,
    /// True if the task is durable. When the host stores a durable task, the host removes the task from the queue. If a
    /// durable task is still in the queue, the host has not stored the task.
    pub durable: bool,
    /// True if the task can run only in one instance, and this instance has died. For example, a closure can run only
    /// in one instance.
    pub orphaned: bool,
}

/// The state of the request and of the host, which decides whether a task runs.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// True if the handler returned no response.
    pub handler_failed: bool,
    /// The reason why the host could not store the request's durable tasks. If the value is `Some`, the host did not
    /// send the handler's response. If the host stored the tasks, or if the request had no durable tasks, the value is
    /// `None`.
    pub not_stored: Option<&'a str>,
    /// True if the client left before the response was complete.
    pub client_gone: bool,
    /// True if an earlier task of the request failed.
    pub failed: bool,
    /// True if the failure policy is `stop`.
    pub stop_on_failure: bool,
    /// True if the host has stopped.
    pub stopped: bool,
    /// True if the time limit for all tasks of the request together is over.
    pub late: bool,
}

impl<'a> Situation<'a> {
    /// If the task must not run, returns the task's final state, and the reason for the task's record. If the task must
    /// run, returns `None`.
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

    /// If the host must discard the task because of the handler's result (S6), or because the durable task was not
    /// stored, returns the reason. Otherwise returns `None`.
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
