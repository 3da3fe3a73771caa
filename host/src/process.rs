//! The host's process: its threads, its shutdown, and the temporary folders that it deletes at its end.

pub(crate) mod scratch;
pub(crate) mod shutdown;
pub(crate) mod threads;
