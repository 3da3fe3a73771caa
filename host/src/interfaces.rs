//! What a guest can call, and what the host calls in it.

pub(crate) mod background;
pub(crate) mod last_words;
pub(crate) mod outgoing;
pub(crate) mod runner;
pub(crate) mod status;
pub(crate) mod wasi;
