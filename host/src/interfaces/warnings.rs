//! Limits how often the host logs the same mistake of a component, because a component may repeat the mistake in a
//! loop.

use std::sync::Arc;

use epilogue_spin::key_value::Report;

use crate::telemetry::once_a_minute::EachOnceAMinute;

/// Limits the log lines about the mistakes of one component.
#[derive(Debug, Default)]
pub(crate) struct Warnings {
    /// Limits the log lines about requests that the manifest does not allow, separately for each scheme, host and port.
    pub(super) requests_denied: EachOnceAMinute,
    /// Limits the log lines about failed requests, separately for each scheme, host and port.
    pub(super) requests_failed: EachOnceAMinute,
    /// Limits the log lines about sockets and connections that the manifest does not allow, separately for each kind of
    /// socket and for each address.
    pub(super) sockets_denied: EachOnceAMinute,
    /// Limits the log lines about requests that got no instance because the host was full, separately for each reason.
    pub(crate) full: EachOnceAMinute,
    /// Limits the log lines about key-value stores that could not be opened, separately for each label of a store.
    stores_failed: EachOnceAMinute,
}

impl Warnings {
    /// Returns a function that logs why a key-value store of the component `component` is not available.
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
