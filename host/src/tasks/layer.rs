//! The layers of a component: the component itself and its middleware.

use std::sync::Arc;

/// A layer of a composed component: a middleware, or the component that the middleware wraps. A component without
/// middleware has one layer.
#[derive(Debug)]
pub(crate) struct Layer {
    /// The id of the layer's component in the manifest.
    pub(crate) id: Arc<str>,
    /// True if the layer's component exports `epilogue:background/runner`, so that the host can run the component's
    /// tasks.
    pub(crate) runs_tasks: bool,
}
