//! The reasons why `add_task` refuses a task.

use std::fmt;

use crate::bindings::epilogue::background::types;

/// The reason why the SDK or the host refuses a task. A refused task never runs.
///
/// With axum, a handler may return `Result<_, EnqueueError>`. If the handler returns the error, the client gets a
/// response with the status that [`status`](Self::status) returns.
///
/// `EnqueueError` implements [`std::error::Error`], so `?` also converts an `EnqueueError` to an `anyhow::Error`. If a
/// handler of spin-sdk returns an `anyhow::Error`, the whole request fails.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnqueueError {
    /// The request already has `limit` tasks (S11).
    QueueFull {
        /// The largest number of tasks of one request.
        limit: u32,
    },
    /// The task's arguments are too large (S11).
    ArgsTooLarge {
        /// The largest size of one task's arguments as JSON, in bytes.
        limit: u64,
    },
    /// The arguments of all tasks of the request would be too large together (S11).
    RequestArgsTooLarge {
        /// The largest size of the arguments of all tasks of one request together as JSON, in bytes.
        limit: u64,
    },
    /// JSON cannot hold the arguments without a change, for example because a float is `NaN`. The documentation of the
    /// attribute [`task`](macro@crate::task#arguments) lists the arguments that JSON cannot hold.
    BadArgs {
        /// The task's name.
        task: &'static str,
        /// The reason why JSON cannot hold the arguments.
        reason: String,
    },
    /// The component does not export the interface `runner`, so the host cannot run the task. This SDK adds the export
    /// `runner`. If the export is missing, a tool that processed the component after the build has probably removed the
    /// export.
    NoRunner,
    /// The host is shutting down and accepts no more tasks (S13).
    ShuttingDown,
    /// The instance serves no request: the last request has ended, or no request has begun.
    Closed,
    /// The host does not support an option of the task, or the task is a deferred future and cannot have the option.
    /// The text names the option and the reason.
    Unsupported(String),
    /// Too many durable tasks have formed a chain, in which each task added the next task. If a request adds a durable
    /// task, the task has generation 0. If a task of generation 0 adds a durable task, the new task has generation 1,
    /// and so on. Without this limit, a durable task that adds itself would run again and again without end.
    TooManyGenerations {
        /// The largest generation that a durable task may have.
        limit: u32,
    },
    /// The task is durable, but the durable tasks of too many requests are already waiting in the task engine.
    BacklogFull {
        /// The largest number of requests whose durable tasks may wait.
        limit: u64,
    },
    /// The host refuses the task for another reason, which the text describes.
    Other(String),
}

impl EnqueueError {
    /// Returns the HTTP status of the response that axum sends if a handler returns this error. If you need another
    /// status, match the error in the handler, and return your own response. For example, a handler can return 413 for
    /// [`ArgsTooLarge`](Self::ArgsTooLarge).
    ///
    /// - 503 for [`ShuttingDown`](Self::ShuttingDown) and [`BacklogFull`](Self::BacklogFull). The same request may
    ///   succeed later or on another host, so axum's response also has the header `retry-after: 1`. If the task engine
    ///   is down, the handler gets no `EnqueueError`, because the host stores the tasks after the handler has returned.
    ///   If the host cannot reach the task engine, the host itself answers with 503 in place of the handler's response.
    /// - 500 for all other errors, for example if the task would exceed a limit. If the client sends the same request
    ///   again, the request fails again. The request succeeds only after a change of the guest or of the host's
    ///   settings.
    pub fn status(&self) -> u16 {
        match self {
            Self::ShuttingDown | Self::BacklogFull { .. } => 503,
            _ => 500,
        }
    }
}

impl fmt::Display for EnqueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::QueueFull { limit } => {
                write!(f, "the request already has {limit} background tasks, which is the limit")
            }
            Self::ArgsTooLarge { limit } => {
                write!(f, "the arguments are larger than {limit} bytes, the limit for one background task")
            }
            Self::RequestArgsTooLarge { limit } => write!(
                f,
                "the arguments of the request's background tasks would be larger than {limit} bytes, the limit for all together"
            ),
            Self::BadArgs { task, reason } => write!(f, "the arguments of `{task}` cannot be kept as JSON: {reason}"),
            Self::NoRunner => f.write_str("the component does not export `runner`, so no background task could run"),
            Self::ShuttingDown => f.write_str("the host is shutting down and takes no more background tasks"),
            Self::Closed => f.write_str("there is no open request to attach a background task to"),
            Self::Unsupported(what) => write!(f, "the background task has options that are not supported: {what}"),
            Self::TooManyGenerations { limit } => {
                write!(f, "durable tasks have added durable tasks for {limit} generations, which is the limit")
            }
            Self::BacklogFull { limit } => {
                write!(f, "the durable tasks of {limit} requests wait already, which is the limit: try again later")
            }
            Self::Other(what) => write!(f, "the host did not accept the background task: {what}"),
        }
    }
}

impl std::error::Error for EnqueueError {}

impl From<types::EnqueueError> for EnqueueError {
    fn from(error: types::EnqueueError) -> Self {
        match error {
            types::EnqueueError::QueueFull(limit) => Self::QueueFull { limit },
            types::EnqueueError::ArgsTooLarge(limit) => Self::ArgsTooLarge { limit },
            types::EnqueueError::RequestArgsTooLarge(limit) => Self::RequestArgsTooLarge { limit },
            types::EnqueueError::NoRunner => Self::NoRunner,
            types::EnqueueError::ShuttingDown => Self::ShuttingDown,
            types::EnqueueError::Closed => Self::Closed,
            types::EnqueueError::Unsupported(what) => Self::Unsupported(what),
            types::EnqueueError::TooManyGenerations(limit) => Self::TooManyGenerations { limit },
            types::EnqueueError::BacklogFull(limit) => Self::BacklogFull { limit },
            types::EnqueueError::Other(what) => Self::Other(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_the_limit() {
        let message = |error: types::EnqueueError| EnqueueError::from(error).to_string();
        assert_eq!(
            message(types::EnqueueError::QueueFull(1000)),
            "the request already has 1000 background tasks, which is the limit"
        );
        assert!(message(types::EnqueueError::TooManyGenerations(100)).contains("100 generations"));
        assert!(message(types::EnqueueError::BacklogFull(100_000)).contains("100000 requests"));
        assert!(message(types::EnqueueError::ArgsTooLarge(1024)).contains("1024 bytes"));
        assert!(message(types::EnqueueError::RequestArgsTooLarge(4096)).contains("4096 bytes"));
        assert!(
            message(types::EnqueueError::Unsupported("durable: no store".to_owned())).ends_with("durable: no store")
        );
    }

    #[test]
    fn only_what_passes_is_worth_another_try() {
        assert_eq!(EnqueueError::ShuttingDown.status(), 503);
        assert_eq!(EnqueueError::BacklogFull { limit: 1 }.status(), 503);
        for lasting in [
            EnqueueError::QueueFull { limit: 1 },
            EnqueueError::ArgsTooLarge { limit: 1 },
            EnqueueError::RequestArgsTooLarge { limit: 1 },
            EnqueueError::BadArgs { task: "task", reason: String::new() },
            EnqueueError::NoRunner,
            EnqueueError::Closed,
            EnqueueError::Unsupported(String::new()),
            EnqueueError::TooManyGenerations { limit: 1 },
            EnqueueError::Other(String::new()),
        ] {
            assert_eq!(lasting.status(), 500, "{lasting}");
        }
    }

    #[test]
    fn it_becomes_an_anyhow_error() {
        let error: anyhow::Error = EnqueueError::Closed.into();
        assert_eq!(error.downcast_ref(), Some(&EnqueueError::Closed));
    }
}
