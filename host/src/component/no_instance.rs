//! The reasons why there is no instance for a request or a task.

use std::fmt;
use std::time::Duration;

use epilogue_rules::duration::Shown;

/// The reason why there is no instance.
#[derive(Debug)]
pub(crate) enum NoInstance {
    /// There is no room for another instance.
    Full(Full),
    /// The host's shutdown ran out of grace.
    Stopped,
    /// The instance took longer than this to start.
    TimedOut(Duration),
    /// The component could not be started.
    Failed(wasmtime::Error),
}

/// The reason why there is no room for another instance.
#[derive(Debug)]
pub(crate) enum Full {
    /// `max-instances` exist.
    Instances,
    /// The process has taken nearly all of `max-memory`.
    Memory,
    /// The system has no memory, mapping or file descriptor for another instance.
    System(wasmtime::Error),
    /// Tasks that have lost their instance already wait for room. They go before new requests.
    TasksWait,
}

impl NoInstance {
    /// Whether another attempt may succeed a little later.
    pub(crate) fn may_pass(&self) -> bool {
        self.is_full() || matches!(self, Self::TimedOut(_))
    }

    /// Whether there is room again once another instance is gone.
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
                write!(f, "the component cannot be started: that took more than {}", Shown(*limit))
            }
            Self::Failed(error) => write!(f, "the component cannot be started: {error:#}"),
        }
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instances => f.write_str("max-instances exist"),
            Self::Memory => f.write_str("the process has taken nearly all of max-memory"),
            Self::System(error) => {
                write!(f, "the system has nothing left for it (see vm.max_map_count, and `ulimit -a`): {error:#}")
            }
            Self::TasksWait => f.write_str("tasks already wait for one, and go first"),
        }
    }
}
