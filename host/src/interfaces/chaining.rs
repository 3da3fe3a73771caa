//! Calls from one component to another of the same application, within the process: requests to `http://ID.spin.internal`.

use std::sync::Arc;

use futures::future::LocalBoxFuture;
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, oneshot};
use wasmtime_wasi_http::Error;

use crate::process::shutdown::Shutdown;

/// Connects the components of one thread to each other. The thread serves the connections itself, so that a call stays on
/// its thread.
#[derive(Clone)]
pub(crate) struct Chaining(mpsc::UnboundedSender<Call>);

/// A component asks for a connection to another one.
pub(crate) struct Call {
    /// The id of the component that is called.
    pub(crate) component: String,
    /// Takes the caller's end of the connection, or the reason why there is none.
    pub(crate) connected: oneshot::Sender<Result<DuplexStream, Error>>,
}

/// Begins to serve the calls of the current thread's components. A worker has it from the server, which knows how to
/// serve requests.
pub(crate) type ServeCalls = Arc<dyn Fn(&Shutdown) -> Served + Send + Sync>;

/// A thread that serves its components' calls.
pub(crate) struct Served {
    pub(crate) chaining: Chaining,
    /// Returns when all calls and their tasks have ended.
    pub(crate) ended: LocalBoxFuture<'static, ()>,
}

impl Chaining {
    /// Makes a connector, and the end at which the calls arrive.
    pub(crate) fn channel() -> (Self, mpsc::UnboundedReceiver<Call>) {
        let (sender, calls) = mpsc::unbounded_channel();
        (Self(sender), calls)
    }

    /// Connects to a component for one request. Does not wait for room.
    ///
    /// # Errors
    ///
    /// `DestinationNotFound` if there is no such component, and `ConnectionLimitReached` if the host has no room for
    /// another request.
    pub(super) async fn connect(&self, component: String) -> Result<DuplexStream, Error> {
        let (connected, connection) = oneshot::channel();
        let sent = self.0.send(Call { component, connected });
        // Only a benchmark has a thread that serves no calls.
        sent.map_err(|_| Error::DestinationUnavailable)?;
        connection.await.unwrap_or(Err(Error::DestinationUnavailable))
    }
}
