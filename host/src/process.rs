//! The process: its threads, its shutdown, and the files that it deletes at its end.

pub mod scratch;
pub mod shutdown;
pub(crate) mod threads;
