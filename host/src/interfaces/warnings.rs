//! Limits how often the host logs a mistake that a component repeats in a loop.

use crate::telemetry::once_a_minute::EachOnceAMinute;

/// Limits the log lines about one component.
#[derive(Debug, Default)]
pub(crate) struct Warnings {
    /// Requests that are not allowed, by origin.
    pub(super) requests_denied: EachOnceAMinute,
    /// Requests that failed, by origin.
    pub(super) requests_failed: EachOnceAMinute,
    /// Sockets, by kind, and connections, by address, that are not allowed.
    pub(super) sockets_denied: EachOnceAMinute,
    /// Requests for which there is no room for an instance, by the reason.
    pub(crate) full: EachOnceAMinute,
}
