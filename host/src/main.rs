//! The `epilogue` command.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use epilogue::cli::{Cli, Command};
use epilogue::output::{self, Events};

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
        // Not `eprintln!`, which panics if nobody reads it any more, and waits if nobody does yet.
        _ = Events.write_all(format!("Error: {error:#}\n").as_bytes());
        ExitCode::FAILURE
    });
    output::flush();
    code
}
