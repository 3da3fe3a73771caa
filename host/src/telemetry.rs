//! What the host tells about itself: events, and metrics and health over HTTP. Also what guests print.

pub(crate) mod logging;
pub(crate) mod monitor;
pub(crate) mod once_a_minute;
pub(crate) mod output;
mod timestamp;
