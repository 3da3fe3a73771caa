//! Formats the times of log events.

use std::time::SystemTime;

/// Returns the current time in the format that log events use.
pub(crate) fn timestamp() -> String {
    of(SystemTime::now())
}

/// Returns a time in the format that log events use.
pub(crate) fn of(time: SystemTime) -> String {
    humantime::format_rfc3339_micros(time).to_string()
}
