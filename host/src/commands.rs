//! Implements the command `epilogue`. Each subcommand has its own module. The other modules contain code that several
//! subcommands share.

mod build;
mod cli;
pub(crate) mod compose;
mod dashboard;
mod new;
mod prepare;
mod reload;
mod runtime_config;
mod signals;
mod status;
mod tasks;
mod up;
mod variables;
mod vault;
mod watch;
mod worker;

use std::process::ExitCode;

use self::cli::Command;
use crate::process::scratch;
use crate::telemetry::{logging, output};

/// Runs the command that the command line names, and returns the command's exit code. If the command line has a
/// mistake, the process ends with exit code 2.
pub fn run() -> ExitCode {
    let command = variables::command_line().command;
    // `up` and `worker` log these warnings themselves.
    if matches!(command, Command::Tasks(_) | Command::Build(_) | Command::Status(_)) {
        variables::warnings().iter().for_each(|warning| logging::warn(warning));
    }
    let ended = match command {
        Command::Up(args) => up::up(*args),
        Command::Worker(args) => worker::worker(*args),
        Command::Tasks(args) => tasks::run(args),
        Command::Build(args) => build::run(args).map(|()| ExitCode::SUCCESS),
        Command::Compose(args) => compose::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Dashboard(args) => dashboard::dashboard(&args),
        Command::Status(args) => status::status(&args),
        Command::New(args) => new::run(&args).map(|()| ExitCode::SUCCESS),
    };
    let code = ended.unwrap_or_else(|error| {
        logging::fail(&error);
        ExitCode::FAILURE
    });
    scratch::delete_all();
    output::flush();
    code
}
