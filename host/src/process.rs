//! Manages the host's process: its threads, its shutdown, and the temporary folders that it deletes before it ends.

pub(crate) mod per_thread;
pub(crate) mod scratch;
pub(crate) mod shutdown;
pub(crate) mod threads;
