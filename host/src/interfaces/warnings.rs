//! The pace of what the host logs about a component that repeats a mistake in a loop.

use crate::telemetry::once_a_minute::EachOnceAMinute;

/// Paces the log lines that one component's guests can cause without end.
#[derive(Debug, Default)]
pub(crate) struct Warnings {
    /// Requests that are not allowed, by origin.
    pub(super) requests_denied: EachOnceAMinute,
    /// Requests that failed, by origin.
    pub(super) requests_failed: EachOnceAMinute,
    /// Sockets, by kind, and connections, by address, that are not allowed.
    pub(super) sockets_denied: EachOnceAMinute,
}
