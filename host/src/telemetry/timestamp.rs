//! Formats the times of events.

use std::time::SystemTime;

/// Returns the current time, in the format of the events.
pub(crate) fn timestamp() -> String {
    of(SystemTime::now())
}

/// Returns a time in the format of the events.
pub(crate) fn of(time: SystemTime) -> String {
    humantime::format_rfc3339_micros(time).to_string()
}
