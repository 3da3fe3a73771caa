//! The time of an event.

use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

/// The time now, in the format of the events.
pub(crate) fn timestamp() -> String {
    let mut text = String::new();
    _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}
