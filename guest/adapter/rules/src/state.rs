//! The states in which a task can end.

use core::fmt;

/// The final state of a task. Every accepted task ends in exactly one final state (S3). A durable task that waits in
/// the dead letter has not ended, because an operator can still retry the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskState {
    /// The task ran and returned without an error.
    Succeeded,
    /// The task ran and returned an error, the guest had no task with this name, or the arguments did not fit the task.
    Failed,
    /// The task trapped, for example because it panicked. The trap ended the task's instance. A composed component
    /// cannot record the state `trapped`, because the trap also ends the adapters.
    Trapped,
    /// The host stopped the task at the task's deadline (S10).
    TimedOut,
    /// The task did not run, because an earlier task of the request failed and the failure policy is `stop` (S4).
    Skipped,
    /// The task did not run, because its option `run-when` does not match the result of the handler (S6), or because
    /// the host could not store the durable task.
    Discarded,
    /// The task did not run, because the guest cancelled the task, or because the task has the option
    /// `cancel-on-disconnect` and the client left (S7).
    Cancelled,
    /// The task did not run to its end, for one of these reasons: the host stopped (S13), the time for all tasks of the
    /// request was over (S10), or the task was a closure and its instance had died (S15).
    Abandoned,
    /// An operator removed the durable task before the task ended.
    Dropped,
}

impl TaskState {
    /// Returns the name of the state that events, metrics and JSON show.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Trapped => "trapped",
            Self::TimedOut => "timed-out",
            Self::Skipped => "skipped",
            Self::Discarded => "discarded",
            Self::Cancelled => "cancelled",
            Self::Abandoned => "abandoned",
            Self::Dropped => "dropped",
        }
    }

    /// Returns true if the state is `failed`, `trapped` or `timed-out`. If a task ends in one of these three states,
    /// the failure policy says whether the request's remaining tasks run (S4).
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::Trapped | Self::TimedOut)
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
