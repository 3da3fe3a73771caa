//! The errors of an engine. A caller must react differently to each kind of error.

use std::fmt;

/// The result of a call to an engine.
pub type Result<T> = std::result::Result<T, Error>;

/// The reason why a call to an engine failed. No error message contains a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The process cannot reach the engine, or the engine did not answer in time. The caller can repeat the call. If
    /// the host gets this error while it stores the tasks of a request, the host answers the request with 503.
    Unavailable(String),
    /// The caller's lease of the batch has ended, and another worker may be running the batch.
    LostLease,
    /// The envelope of a batch is larger than the engine accepts.
    TooLarge {
        /// The size of the batch's envelope, in bytes.
        bytes: usize,
        /// The largest size that the engine accepts, in bytes.
        limit: usize,
    },
    /// The engine cannot read a stored batch.
    Corrupt(String),
    /// The operator's configuration has a mistake.
    Config(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(why) => write!(f, "the task engine is not available: {why}"),
            Self::LostLease => f.write_str("the lease has ended, and another worker may have the tasks"),
            Self::TooLarge { bytes, limit } => {
                write!(f, "the request's tasks take {bytes} bytes, and the task engine accepts {limit}")
            }
            Self::Corrupt(why) => write!(f, "a stored batch of tasks cannot be read: {why}"),
            Self::Config(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Error {}
