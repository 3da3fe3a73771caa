//! What the host tells about itself: events, and metrics and health over HTTP. And what guests print.

pub mod logging;
pub(crate) mod monitor;
pub mod output;
