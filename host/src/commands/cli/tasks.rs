//! The command line of `epilogue tasks`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use epilogue_manifest::values::{LogFilter, LogFormat, Value};

/// The options of `epilogue tasks`.
#[derive(Args, Debug)]
pub(crate) struct TasksArgs {
    /// The task engine, as for `epilogue up`. By default that of the manifest.
    #[arg(long, global = true, env = "EPILOGUE_ENGINE", hide_env_values = true, value_name = "URL")]
    pub engine: Option<String>,

    /// The application whose manifest names the engine. By default as for `epilogue up`.
    #[arg(short = 'f', long, global = true, env = "EPILOGUE_FROM", value_name = "PATH")]
    pub from: Option<PathBuf>,

    /// How long a lease lasts, as for `epilogue worker`: on Redis only this tells what is leased from what waits. By default
    /// that of the manifest, or 30s.
    #[arg(
        long, global = true, env = "EPILOGUE_VISIBILITY_TIMEOUT", value_name = "DURATION",
        value_parser = <Duration as Value>::parse
    )]
    pub visibility_timeout: Option<Duration>,

    /// Which events are logged, as for `epilogue up`: one for each task that is retried or dropped.
    #[arg(
        long, global = true, env = "EPILOGUE_LOG", value_name = "FILTER", value_parser = <LogFilter as Value>::parse
    )]
    pub log: Option<LogFilter>,

    /// How events are written, as for `epilogue up`: `text` or `json`.
    #[arg(
        long, global = true, env = "EPILOGUE_LOG_FORMAT", value_name = "FORMAT",
        value_parser = <LogFormat as Value>::parse
    )]
    pub log_format: Option<LogFormat>,

    /// One JSON object a line, instead of a table. That of `show` has the whole batch, the tasks' arguments in base 64.
    #[arg(long, global = true)]
    pub json: bool,

    /// What to do.
    #[command(subcommand)]
    pub command: TasksCommand,
}

/// What to do with stored tasks. One request's tasks are stored together, under one ID.
#[derive(Debug, Subcommand)]
pub(crate) enum TasksCommand {
    /// Lists what is stored, the oldest first.
    List {
        /// Only those in this state.
        #[arg(long, value_enum)]
        state: Option<StateArg>,
        /// As many at most.
        #[arg(long, default_value_t = 100, value_name = "COUNT")]
        limit: usize,
    },
    /// Lists the dead letter: what has failed for good, and why.
    Dead {
        /// As many at most.
        #[arg(long, default_value_t = 100, value_name = "COUNT")]
        limit: usize,
    },
    /// Shows one request's tasks, with their arguments.
    Show {
        /// The ID that the list shows.
        id: String,
    },
    /// Makes dead ones ready again, with all their attempts, at the task that has failed.
    Retry {
        /// The IDs that the list shows.
        #[arg(required_unless_present_any = ["all", "task", "component"])]
        ids: Vec<String>,
        /// Or those that are dead and pass a filter.
        #[command(flatten)]
        choice: ChoiceArgs,
    },
    /// Removes some, whatever their state: those of their tasks that have not ended never run.
    ///
    /// Each such task is recorded as `dropped`. A worker that runs one of them stops it.
    Drop {
        /// The IDs that the list shows.
        #[arg(required_unless_present_any = ["all", "task", "component"])]
        ids: Vec<String>,
        /// Or those that pass a filter: their number is shown, and you are asked.
        #[command(flatten)]
        choice: ChoiceArgs,
        /// Only those in this state.
        #[arg(long, value_enum, conflicts_with = "ids")]
        state: Option<StateArg>,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
}

/// Which of the stored batches a command changes, if they are not named.
#[derive(Args, Clone, Debug)]
pub(crate) struct ChoiceArgs {
    /// All of them.
    #[arg(long, conflicts_with = "ids")]
    pub all: bool,
    /// Those in which a task of this name has not ended: with all their other tasks.
    #[arg(long, conflicts_with = "ids", value_name = "NAME")]
    pub task: Option<String>,
    /// Those that this component has enqueued.
    #[arg(long, conflicts_with = "ids", value_name = "ID")]
    pub component: Option<String>,
}

impl ChoiceArgs {
    /// Whether there is a filter, so that no IDs are named.
    pub(crate) fn is_made(&self) -> bool {
        self.all || self.task.is_some() || self.component.is_some()
    }
}

/// Where stored tasks are in their life.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum StateArg {
    /// Can be run now.
    Ready,
    /// Will be ready after a pause.
    Delayed,
    /// A worker runs them.
    Leased,
    /// Have failed for good.
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
