//! The host's events, and its metrics and health over HTTP. Also the output of guests.

pub(crate) mod logging;
pub(crate) mod monitor;
pub(crate) mod once_a_minute;
pub(crate) mod output;
pub(crate) mod timestamp;
