//! The reasons why a request or a task gets no instance.

use std::fmt;
use std::time::Duration;

use epilogue_rules::duration::Shown;

/// The reason why a request or a task gets no instance.
#[derive(Debug)]
pub(crate) enum NoInstance {
    /// The host cannot hold another instance.
    Full(Full),
    /// The grace period of the host's shutdown has ended.
    Stopped,
    /// The instance did not start within this time.
    TimedOut(Duration),
    /// Starting the instance failed with this error.
    Failed(wasmtime::Error),
}

/// The reason why the host cannot hold another instance.
#[derive(Debug)]
pub(crate) enum Full {
    /// The number of instances has reached `max-instances`.
    Instances,
    /// The process uses nearly all of `max-memory`.
    Memory,
    /// The operating system has no memory, mapping or file descriptor for another instance.
    System(wasmtime::Error),
    /// Tasks of other requests have lost their instance, for example because a guest trapped, and wait for a new
    /// instance. The host gives the next instance to these tasks, not to a new request.
    TasksWait,
}

impl NoInstance {
    /// Reports whether a later attempt to get an instance may succeed.
    pub(crate) fn may_pass(&self) -> bool {
        self.is_full() || matches!(self, Self::TimedOut(_))
    }

    /// Reports whether the host cannot hold another instance. After one of the host's instances has ended, a new
    /// attempt to get an instance can succeed.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }
}

impl fmt::Display for NoInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(full) => write!(f, "there is no room for another instance: {full}"),
            Self::Stopped => f.write_str("the host stopped"),
            Self::TimedOut(limit) => {
                write!(f, "the component did not start within {}", Shown(*limit))
            }
            Self::Failed(error) => write!(f, "the component cannot be started: {error:#}"),
        }
    }
}

impl Full {
    /// Returns the name of the limit that refuses a request for this reason, for the metric of refused requests.
    pub(crate) fn limit(&self) -> &'static str {
        match self {
            Self::Instances => "max-instances",
            Self::Memory => "max-memory",
            Self::System(_) => "system",
            Self::TasksWait => "waiting-tasks",
        }
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instances => f.write_str("max-instances is reached"),
            Self::Memory => f.write_str("the process uses nearly all of max-memory"),
            Self::System(error) => {
                write!(
                    f,
                    "the system has no memory, memory mapping or file descriptor left (check vm.max_map_count and \
                     `ulimit -a`): {error:#}"
                )
            }
            Self::TasksWait => f.write_str("waiting tasks get the next instance"),
        }
    }
}
