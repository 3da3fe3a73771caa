//! The command line of `epilogue tasks`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use epilogue_manifest::values::{LogFilter, LogFormat, Value};

/// The options of `epilogue tasks`.
#[derive(Args, Debug)]
pub(crate) struct TasksArgs {
    /// URL of the task engine, as for `epilogue up`. The default is the engine in the manifest.
    #[arg(long, global = true, env = "EPILOGUE_ENGINE", hide_env_values = true, value_name = "URL")]
    pub engine: Option<String>,

    /// The application whose manifest names the engine. The default is the same as for `epilogue up`.
    #[arg(short = 'f', long, global = true, env = "EPILOGUE_FROM", value_name = "PATH")]
    pub from: Option<PathBuf>,

    /// Time for which a lease lasts, as for `epilogue worker`. With Redis, this time decides whether a batch counts as
    /// leased or as waiting. The default is the value in the manifest, or 30s.
    #[arg(
        long, global = true, env = "EPILOGUE_VISIBILITY_TIMEOUT", value_name = "DURATION",
        value_parser = <Duration as Value>::parse
    )]
    pub visibility_timeout: Option<Duration>,

    /// Filter for the log, as for `epilogue up`. The command logs an event for each task that it retries or drops.
    #[arg(
        long, global = true, env = "EPILOGUE_LOG", value_name = "FILTER", value_parser = <LogFilter as Value>::parse
    )]
    pub log: Option<LogFilter>,

    /// Format of the log, as for `epilogue up`: `text` or `json`.
    #[arg(
        long, global = true, env = "EPILOGUE_LOG_FORMAT", value_name = "FORMAT",
        value_parser = <LogFormat as Value>::parse
    )]
    pub log_format: Option<LogFormat>,

    /// Print one JSON object on each line, instead of a table. `show` prints the whole batch, with the tasks' arguments
    /// in base64.
    #[arg(long, global = true)]
    pub json: bool,

    /// What to do.
    #[command(subcommand)]
    pub command: TasksCommand,
}

/// What to do with stored tasks. A task engine stores the durable tasks of one request together, as a batch with one
/// ID.
#[derive(Debug, Subcommand)]
pub(crate) enum TasksCommand {
    /// Lists the stored tasks, the oldest first.
    List {
        /// List only batches in this state.
        #[arg(long, value_enum)]
        state: Option<StateArg>,
        /// Largest number of batches to list.
        #[arg(long, default_value_t = 100, value_name = "COUNT")]
        limit: usize,
    },
    /// Lists the batches that failed for good and wait in the dead letter, with the reasons.
    Dead {
        /// Largest number of batches to list.
        #[arg(long, default_value_t = 100, value_name = "COUNT")]
        limit: usize,
    },
    /// Shows one request's tasks, with their arguments.
    Show {
        /// ID of the batch, as `epilogue tasks list` shows it.
        id: String,
    },
    /// Retries dead batches. In each batch, the failed task and the tasks behind it run again, with their full number
    /// of attempts.
    Retry {
        /// IDs of the batches, as `epilogue tasks list` shows them.
        #[arg(required_unless_present_any = ["all", "task", "component"])]
        ids: Vec<String>,
        /// A filter for batches, instead of IDs.
        #[command(flatten)]
        choice: ChoiceArgs,
    },
    /// Removes batches in any state. No worker starts or retries the unfinished tasks of a removed batch.
    ///
    /// The command records each unfinished task of a removed batch as `dropped`. If a worker already runs a task of a
    /// removed batch, the worker stops the task.
    Drop {
        /// IDs of the batches, as `epilogue tasks list` shows them.
        #[arg(required_unless_present_any = ["all", "task", "component"])]
        ids: Vec<String>,
        /// A filter for batches, instead of IDs. The command shows the number of matching batches, and asks the
        /// operator before it removes the batches.
        #[command(flatten)]
        choice: ChoiceArgs,
        /// Remove only batches in this state.
        #[arg(long, value_enum, conflicts_with = "ids")]
        state: Option<StateArg>,
        /// Remove without asking.
        #[arg(short, long)]
        yes: bool,
    },
}

/// The filter that chooses the batches for a command, instead of IDs.
#[derive(Args, Clone, Debug)]
pub(crate) struct ChoiceArgs {
    /// Choose all batches.
    #[arg(long, conflicts_with = "ids")]
    pub all: bool,
    /// Choose the batches that have an unfinished task of this name. The command changes each chosen batch as a whole.
    #[arg(long, conflicts_with = "ids", value_name = "NAME")]
    pub task: Option<String>,
    /// Choose the batches that this component enqueued.
    #[arg(long, conflicts_with = "ids", value_name = "ID")]
    pub component: Option<String>,
}

impl ChoiceArgs {
    /// Reports whether the command line has a filter.
    pub(crate) fn is_made(&self) -> bool {
        self.all || self.task.is_some() || self.component.is_some()
    }
}

/// The state of stored tasks.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum StateArg {
    /// A worker can run the tasks now.
    Ready,
    /// The tasks wait for a time, for example before a retry.
    Delayed,
    /// A worker runs the tasks.
    Leased,
    /// A task failed for good.
    Dead,
}

impl From<StateArg> for epilogue_engines::BatchState {
    fn from(state: StateArg) -> Self {
        match state {
            StateArg::Ready => Self::Ready,
            StateArg::Delayed => Self::Delayed,
            StateArg::Leased => Self::Leased,
            StateArg::Dead => Self::Dead,
        }
    }
}
