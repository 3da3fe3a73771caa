//! The host's events, and its metrics and health over HTTP. Also the output of guests, and what goes to an OpenTelemetry
//! collector.

pub(crate) mod logging;
pub(crate) mod monitor;
mod names;
pub(crate) mod once_a_minute;
pub(crate) mod otlp;
pub(crate) mod output;
pub(crate) mod recorder;
pub(crate) mod timestamp;
