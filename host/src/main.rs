//! The `epilogue` command.

use std::process::ExitCode;

use epilogue::commands::{build, cli::Command, compose, new, tasks, up, variables, worker};
use epilogue::{logging, output, scratch};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let command = variables::command_line().command;
    // The others tell as their log does.
    if matches!(command, Command::Tasks(_) | Command::Build(_)) {
        variables::warnings().iter().for_each(|warning| logging::warn(warning));
    }
    let ended = match command {
        Command::Up(args) => up::up(*args),
        Command::Worker(args) => worker::worker(*args),
        Command::Tasks(args) => tasks::run(args),
        Command::Build(args) => build::run(args).map(|()| ExitCode::SUCCESS),
        Command::Compose(args) => compose::run(&args).map(|()| ExitCode::SUCCESS),
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
