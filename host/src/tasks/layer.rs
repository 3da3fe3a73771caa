//! The layers of a component: itself, and the middleware that it is joined with.

use std::sync::Arc;

/// One of the components that are joined into one, from the outermost middleware to the application. A component without
/// middleware is its only layer.
#[derive(Debug)]
pub(crate) struct Layer {
    /// The manifest's name for it.
    pub(crate) id: Arc<str>,
    /// Whether it can run tasks.
    pub(crate) runs_tasks: bool,
}
