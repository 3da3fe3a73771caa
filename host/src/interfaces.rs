//! The interfaces between the host and a guest: the imports that the host implements, and the guest's exports that the
//! host calls.

pub(crate) mod background;
mod calls;
pub(crate) mod chaining;
pub(crate) mod client;
pub(crate) mod fields;
pub(crate) mod files;
mod filesystem;
pub(crate) mod heard;
pub(crate) mod last_words;
pub(crate) mod listing;
pub(crate) mod names;
pub(crate) mod outgoing;
pub(crate) mod paths;
pub(crate) mod runner;
pub(crate) mod send;
pub(crate) mod socket_streams;
pub(crate) mod sockets;
pub(crate) mod status;
pub(crate) mod warnings;
pub(crate) mod wasi;
pub(crate) mod writes;
