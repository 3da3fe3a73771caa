//! The `epilogue` command.

use std::process::ExitCode;

use clap::Parser as _;
use epilogue::cli::{Cli, Command};
use epilogue::{logging, output};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let ended = match Cli::parse().command {
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
    output::flush();
    code
}
    scratch::delete_all();
