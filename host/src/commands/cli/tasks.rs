//! Defines the subcommands and options of `epilogue tasks`, and their help texts.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use epilogue_manifest::values::{LogFilter, LogFormat, Value};

/// The options of `epilogue tasks`.
#[derive(Args, Debug)]
pub(crate) struct TasksArgs {
    /// URL of the task engine, as for `epilogue up`. The default is the task engine that the manifest names.
    #[arg(long, global = true, env = "EPILOGUE_ENGINE", hide_env_values = true, value_name = "URL")]
    pub engine: Option<String>,

    /// The application whose manifest names the task engine. The default is the same as for `epilogue up`.
    #[arg(short = 'f', long, global = true, env = "EPILOGUE_FROM", value_name = "PATH")]
    pub from: Option<PathBuf>,

    /// Duration of a worker's lease, as for `epilogue worker`. With Redis, the command computes from this duration
    /// whether a batch is leased, so use the same value as the workers. The default is the value in the manifest. If
    /// the manifest has no value, the default is 30s.
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

    /// The subcommand of `epilogue tasks` to run.
    #[command(subcommand)]
    pub command: TasksCommand,
}

/// A subcommand of `epilogue tasks`. The subcommands show or change batches. A batch contains the durable tasks of one
/// request, and has an ID.
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
    /// Lists the batches that failed for good (the dead letter), with the reason for each failure.
    Dead {
        /// Largest number of batches to list.
        #[arg(long, default_value_t = 100, value_name = "COUNT")]
        limit: usize,
    },
    /// Shows one request's tasks, with their arguments.
    Show {
        /// ID of the batch. `epilogue tasks list` shows the IDs.
        id: String,
    },
    /// Retries dead batches. In each batch, the failed task and the later tasks run again, each with its full number of
    /// attempts.
    Retry {
        /// IDs of batches. `epilogue tasks list` shows the IDs.
        #[arg(required_unless_present_any = ["all", "task", "component"])]
        ids: Vec<String>,
        /// The options that choose batches by a filter, not by their IDs.
        #[command(flatten)]
        choice: ChoiceArgs,
    },
    /// Removes batches, whatever state they have. Workers do not start or retry the tasks of a removed batch.
    ///
    /// The command records each unfinished task of a removed batch as `dropped`. If a worker already runs a task of a
    /// removed batch, the worker stops the task.
    Drop {
        /// IDs of batches. `epilogue tasks list` shows the IDs.
        #[arg(required_unless_present_any = ["all", "task", "component"])]
        ids: Vec<String>,
        /// The options that choose batches by a filter, not by their IDs. The command shows the number of matching
        /// batches, and asks the operator before it removes the batches.
        #[command(flatten)]
        choice: ChoiceArgs,
        /// Remove only batches in this state.
        #[arg(long, value_enum, conflicts_with = "ids")]
        state: Option<StateArg>,
        /// Remove the batches without asking.
        #[arg(short, long)]
        yes: bool,
    },
}

/// The options that choose the batches for a command by a filter, not by their IDs.
#[derive(Args, Clone, Debug)]
pub(crate) struct ChoiceArgs {
    /// Choose all batches.
    #[arg(long, conflicts_with = "ids")]
    pub all: bool,
    /// Choose the batches that have an unfinished task of this name. The command changes all tasks of a chosen batch.
    #[arg(long, conflicts_with = "ids", value_name = "NAME")]
    pub task: Option<String>,
    /// Choose the batches that this component enqueued.
    #[arg(long, conflicts_with = "ids", value_name = "ID")]
    pub component: Option<String>,
}

impl ChoiceArgs {
    /// Reports whether the command line has one of these options.
    pub(crate) fn is_made(&self) -> bool {
        self.all || self.task.is_some() || self.component.is_some()
    }
}

/// The state of a batch, as users write it on the command line.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum StateArg {
    /// A worker can run the tasks now.
    Ready,
    /// The tasks wait until a given time, for example before a retry.
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
