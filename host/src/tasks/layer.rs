//! The layers of a component: the component itself and its middleware.

use std::sync::Arc;

/// One of the components that are joined into one component: a middleware or the application. A component without
/// middleware has one layer.
#[derive(Debug)]
pub(crate) struct Layer {
    /// The layer's name in the manifest.
    pub(crate) id: Arc<str>,
    /// Whether the layer can run tasks.
    pub(crate) runs_tasks: bool,
}
