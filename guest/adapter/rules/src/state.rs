//! The states in which a task can end.

use core::fmt;

/// How a task ended. Every accepted task ends in exactly one of these states (S3). A dead durable task has not ended,
/// because an operator can still retry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskState {
    /// The task ran and returned without an error.
    Succeeded,
    /// The task ran and returned an error. Or the guest had no such task, or the arguments did not fit the task.
    Failed,
    /// The task trapped, for example because it panicked. The trap ended its instance. A composed component cannot
    /// record this state.
    Trapped,
    /// The task was stopped at its deadline (S10).
    TimedOut,
    /// The task did not run, because a task before it did not succeed and the policy is `stop` (S4).
    Skipped,
    /// The task did not run. Its `run-when` does not match the result of the handler (S6), or the task is durable and
    /// could not be stored.
    Discarded,
    /// The task was cancelled before it started, by the guest or because the client had left (S7).
    Cancelled,
    /// The task did not run to its end. The host stopped, the time for all tasks was used up, or the instance of its
    /// closure had ended (S13, S10, S15).
    Abandoned,
    /// The task was durable, and an operator removed it before it ended.
    Dropped,
}

impl TaskState {
    /// The state's name in events, metrics and JSON.
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

    /// Whether this state is a failure for the failure policy (S4): `failed`, `trapped` and `timed-out` are failures.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::Trapped | Self::TimedOut)
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
