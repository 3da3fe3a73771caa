//! The errors of an engine, as far as the caller must tell one from another.

use std::fmt;

/// What an engine answers.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an engine did not do what it was asked to. No message contains a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The engine cannot be reached, or did not answer in time. The call may be repeated. A host answers 503.
    Unavailable(String),
    /// The batch is not leased to the caller any more.
    LostLease,
    /// The batch is larger than the engine takes, in bytes of its envelope.
    TooLarge {
        /// The size of the batch.
        bytes: usize,
        /// The size that the engine takes at most.
        limit: usize,
    },
    /// A stored batch cannot be read.
    Corrupt(String),
    /// What the operator configured cannot be used.
    Config(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(why) => write!(f, "the task engine is not available: {why}"),
            Self::LostLease => f.write_str("the lease has ended, and the tasks are somebody else's"),
            Self::TooLarge { bytes, limit } => {
                write!(f, "the request's tasks take {bytes} bytes, and the task engine accepts {limit}")
            }
            Self::Corrupt(why) => write!(f, "a stored batch of tasks can't be read: {why}"),
            Self::Config(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Error {}
