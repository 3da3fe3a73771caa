//! Limits how often the host logs a mistake that a component repeats in a loop.

use std::sync::Arc;

use epilogue_spin::key_value::Report;

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
    /// Key-value stores that are not available, by label.
    stores_failed: EachOnceAMinute,
}

impl Warnings {
    /// Logs why a key-value store of this component is not available.
    pub(crate) fn of_stores(self: &Arc<Self>, component: &str) -> Report {
        let (warnings, component) = (self.clone(), component.to_owned());
        Arc::new(move |store, error| {
            let (component, store, error) = (component.clone(), store.to_owned(), error.to_owned());
            warnings.stores_failed.log(&store.clone(), move |times| {
                tracing::error!(
                    target: "epilogue::component", component, store, times, error, "a key-value store is not available"
                );
            });
        })
    }
}
