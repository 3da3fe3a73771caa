//! The log, the metrics and the health checks of the host, the output of guests, and the export to an OpenTelemetry
//! collector.

pub(crate) mod guest_lines;
pub(crate) mod logging;
pub(crate) mod monitor;
mod names;
pub(crate) mod once_a_minute;
pub(crate) mod otlp;
pub(crate) mod output;
pub(crate) mod recorder;
pub(crate) mod timestamp;
