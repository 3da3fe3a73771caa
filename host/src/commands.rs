//! The command `epilogue`: one module for each subcommand, and shared parts.

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

/// Runs the command that the command line names, until it ends. A mistake on the command line ends the process with
/// exit code 2.
pub fn run() -> ExitCode {
    let command = variables::command_line().command;
    // The other commands log their warnings.
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
