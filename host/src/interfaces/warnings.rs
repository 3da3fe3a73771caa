//! Limits how often the host logs a mistake that a component repeats in a loop.

use std::sync::Arc;

use epilogue_spin::key_value::Report;

use crate::telemetry::once_a_minute::EachOnceAMinute;

/// Limits the log lines about the mistakes of one component.
#[derive(Debug, Default)]
pub(crate) struct Warnings {
    /// Counts requests that the manifest does not allow, by origin.
    pub(super) requests_denied: EachOnceAMinute,
    /// Counts requests that failed, by origin.
    pub(super) requests_failed: EachOnceAMinute,
    /// Counts sockets and connections that the manifest does not allow: sockets by kind, connections by address.
    pub(super) sockets_denied: EachOnceAMinute,
    /// Counts requests that got no instance because the host was full, by the reason.
    pub(crate) full: EachOnceAMinute,
    /// Counts failures to open a key-value store, by the store's label.
    stores_failed: EachOnceAMinute,
}

impl Warnings {
    /// Returns a function that logs why a key-value store of this component is not available.
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
