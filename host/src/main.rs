//! The `epilogue` command.

use std::process::ExitCode;

use epilogue::cli::Command;
use epilogue::{logging, output, scratch, variables};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let command = variables::command_line().command;
    // The others tell as their log does.
    if matches!(command, Command::Tasks(_) | Command::Build(_)) {
        variables::warnings().iter().for_each(|warning| logging::warn(warning));
    }
    let ended = match command {
        Command::Up(args) => epilogue::up::up(*args),
        Command::Worker(args) => epilogue::work::worker(*args),
        Command::Tasks(args) => epilogue::tasks::run(args),
        Command::Build(args) => epilogue::builder::run(args).map(|()| ExitCode::SUCCESS),
        Command::Compose(args) => epilogue::compose::run(&args).map(|()| ExitCode::SUCCESS),
        Command::New(args) => epilogue::new::run(&args).map(|()| ExitCode::SUCCESS),
    };
    let code = ended.unwrap_or_else(|error| {
        logging::fail(&error);
        ExitCode::FAILURE
    });
    scratch::delete_all();
    output::flush();
    code
}
