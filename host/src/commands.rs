//! The command `epilogue`: one module for each of its subcommands, and what they share.

pub mod build;
pub mod cli;
pub mod compose;
pub mod new;
pub(crate) mod reload;
mod signals;
pub mod tasks;
pub mod up;
pub mod variables;
pub(crate) mod watch;
pub mod worker;
