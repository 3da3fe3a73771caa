//! The time of an event.

use std::time::SystemTime;

/// The time now, in the format of the events.
pub(crate) fn timestamp() -> String {
    of(SystemTime::now())
}

/// A time, in the format of the events.
pub(crate) fn of(time: SystemTime) -> String {
    humantime::format_rfc3339_micros(time).to_string()
}
