//! The options of a task.

use std::time::Duration;

use crate::bindings::epilogue::background::types;

pub use types::{FailurePolicy, RunWhen};

/// The options of one task, which say when, how often and how long the task runs.
///
/// ```
/// # use std::time::Duration;
/// use epilogue_sdk::{RunWhen, TaskOptions};
///
/// let options = TaskOptions::new()
///     .run_when(RunWhen::Always)
///     .timeout(Duration::from_secs(5))
///     .max_attempts(3)
///     .backoff(Duration::from_secs(1), Duration::from_secs(60));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct TaskOptions {
    run_when: RunWhen,
    timeout: Option<Duration>,
    max_attempts: Option<u32>,
    backoff: Option<(Duration, Duration)>,
    cancel_on_disconnect: bool,
    durable: bool,
}

impl TaskOptions {
    /// Creates the default options: the host tries the task once, and stops the attempt after the time in the
    /// operator's setting `task-timeout`. The task runs only if the handler returns a response. The task runs even if
    /// the client leaves.
    pub const fn new() -> Self {
        Self {
            run_when: RunWhen::Success,
            timeout: None,
            max_attempts: None,
            backoff: None,
            cancel_on_disconnect: false,
            durable: false,
        }
    }

    /// Sets whether the task runs after the handler has succeeded, after the handler has failed, or in both cases (S6).
    /// The default is [`RunWhen::Success`]: the task runs if the handler returns a response, with any status.
    pub const fn run_when(mut self, when: RunWhen) -> Self {
        self.run_when = when;
        self
    }

    /// Sets the timeout of one attempt (S10). If an attempt takes longer, the host stops the attempt, and the attempt
    /// ends as `timed-out`.
    ///
    /// Without this option, the operator's setting `task-timeout` applies, which is 30 s by default. A timeout that is
    /// longer than `task-timeout` has no effect.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets the largest number of attempts, including the first attempt. Zero counts as one.
    ///
    /// By default, the host tries a task once. For a durable task, the default is the operator's setting
    /// `durable-attempts`. [`backoff`](Self::backoff) sets the pauses between attempts.
    pub const fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = Some(attempts);
        self
    }

    /// Sets the pauses between attempts. The pause after the first failed attempt is `first`. Each further pause is
    /// twice as long as the pause before it, up to `max`.
    ///
    /// The host shortens each pause at random, by up to half, so that tasks that failed at the same time do not all run
    /// again at the same time.
    ///
    /// The default is the backoff in the task's attribute `#[task(backoff = "…")]`. If the attribute has no `backoff`,
    /// the first pause is 100 ms, and the longest pause is 10 s. If the attribute has no `backoff` and the task is
    /// durable, the operator's settings `durable-backoff` (15 s by default) and `durable-max-backoff` (one hour by
    /// default) apply.
    pub const fn backoff(mut self, first: Duration, max: Duration) -> Self {
        self.backoff = Some((first, max));
        self
    }

    /// Sets whether the host cancels the task if the client leaves before the end of the response (S7). Default: no.
    pub const fn cancel_on_disconnect(mut self, cancel: bool) -> Self {
        self.cancel_on_disconnect = cancel;
        self
    }

    /// Sets whether the task is durable. The host stores a durable task in the task engine. If the host ends or
    /// crashes, the task is still in the task engine. Any host or worker of the application may run a durable task.
    ///
    /// A durable task runs at least once, and may run again after a crash. To do the task's work only once, use
    /// [`TaskContext::idempotency_key`](crate::TaskContext::idempotency_key). By default, a task is durable only if it
    /// is a `#[task(durable)]` or if the operator makes all tasks durable.
    ///
    /// The host stores the handler's durable tasks before it sends the response. If the host cannot store the handler's
    /// durable tasks, the client gets the status 503, or 500 if the durable tasks are too large to be stored. If a task
    /// or a teardown adds a durable task, the host stores the durable task before `add_task` returns.
    ///
    /// If you do not set `max_attempts`, the operator's setting `durable-attempts` limits the number of attempts (10 by
    /// default). If the host crashes during an attempt, this attempt counts toward the limit. For example, with
    /// `max_attempts(1)`, the task does not run again after a crash.
    ///
    /// If the operator has set no task engine, the host refuses a durable task with
    /// [`EnqueueError::Unsupported`](crate::EnqueueError::Unsupported). The host refuses two kinds of durable tasks in
    /// the same way:
    ///
    /// - a durable closure, because a closure exists only in the memory of its instance;
    /// - a durable task with [`cancel_on_disconnect`](Self::cancel_on_disconnect), because the host stores a durable
    ///   task before the host knows whether the client will leave.
    pub const fn durable(mut self, durable: bool) -> Self {
        self.durable = durable;
        self
    }

    /// If the options have no backoff, sets the backoff to `own`, the backoff of the task's function.
    pub(crate) fn or_backoff(mut self, own: Option<(Duration, Duration)>) -> Self {
        self.backoff = self.backoff.or(own);
        self
    }

    /// Returns true if these options allow more than one attempt.
    pub(crate) const fn retries(&self) -> bool {
        matches!(self.max_attempts, Some(2..))
    }

    /// Converts these options to the type that the host expects. `instance_bound` must be true if the task's arguments
    /// refer to this instance's memory.
    pub(crate) fn into_wit(self, instance_bound: bool) -> types::TaskOptions {
        types::TaskOptions {
            run_when: self.run_when,
            timeout: self.timeout.map(nanoseconds),
            max_attempts: self.max_attempts,
            backoff: self
                .backoff
                .map(|(first, max)| types::Backoff { first: nanoseconds(first), max: nanoseconds(max) }),
            cancel_on_disconnect: self.cancel_on_disconnect,
            instance_bound,
            durable: self.durable,
        }
    }
}

impl Default for TaskOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Converts a duration to nanoseconds. If the duration is longer than 584 years, returns 584 years, which is the
/// largest `u64`.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let expected = types::TaskOptions {
            run_when: RunWhen::Success,
            timeout: None,
            max_attempts: None,
            backoff: None,
            cancel_on_disconnect: false,
            instance_bound: false,
            durable: false,
        };
        assert_eq!(TaskOptions::default().into_wit(false), expected);
    }

    #[test]
    fn every_option_arrives() {
        let options = TaskOptions::new()
            .run_when(RunWhen::Failure)
            .timeout(Duration::from_millis(1))
            .max_attempts(3)
            .backoff(Duration::from_millis(2), Duration::MAX)
            .cancel_on_disconnect(true)
            .durable(true);
        let expected = types::TaskOptions {
            run_when: RunWhen::Failure,
            timeout: Some(1_000_000),
            max_attempts: Some(3),
            backoff: Some(types::Backoff { first: 2_000_000, max: u64::MAX }),
            cancel_on_disconnect: true,
            instance_bound: true,
            durable: true,
        };
        assert_eq!(options.into_wit(true), expected);
    }

    #[test]
    fn a_timeout_beyond_the_clock_is_the_longest() {
        assert_eq!(TaskOptions::new().timeout(Duration::MAX).into_wit(false).timeout, Some(u64::MAX));
    }
}
