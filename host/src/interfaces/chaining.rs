//! Calls between components of one application, within the process. To call another component, a component sends a
//! request to `http://ID.spin.internal`.

use std::sync::Arc;

use futures::future::LocalBoxFuture;
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, oneshot};
use wasmtime_wasi_http::Error;

use crate::process::shutdown::Shutdown;

/// Connects the components of one thread to each other. The thread serves these connections itself, so a call stays on
/// its thread.
#[derive(Clone)]
pub(crate) struct Chaining(mpsc::UnboundedSender<Call>);

/// A request of one component for a connection to another component.
pub(crate) struct Call {
    /// The id of the component that is called.
    pub(crate) component: String,
    /// Sends the caller its end of the connection, or the reason why there is no connection.
    pub(crate) connected: oneshot::Sender<Result<DuplexStream, Error>>,
}

/// A function that starts to serve the calls between the components of the current thread. The server passes this
/// function to the workers, because only the server can serve requests.
pub(crate) type ServeCalls = Arc<dyn Fn(&Shutdown) -> Served + Send + Sync>;

/// The handles of a thread that serves calls between its components.
pub(crate) struct Served {
    pub(crate) chaining: Chaining,
    /// A future that ends when all calls and their tasks have ended.
    pub(crate) ended: LocalBoxFuture<'static, ()>,
}

impl Chaining {
    /// Makes a connector, and the receiver that gets its calls.
    pub(crate) fn channel() -> (Self, mpsc::UnboundedReceiver<Call>) {
        let (sender, calls) = mpsc::unbounded_channel();
        (Self(sender), calls)
    }

    /// Connects to a component for one request. If the host has no place for another request, returns an error without
    /// waiting.
    ///
    /// # Errors
    ///
    /// Returns `DestinationNotFound` if the application has no component with this id. Returns `ConnectionLimitReached`
    /// if the host cannot take another request.
    pub(super) async fn connect(&self, component: String) -> Result<DuplexStream, Error> {
        let (connected, connection) = oneshot::channel();
        let sent = self.0.send(Call { component, connected });
        // A thread always serves its calls, except in a benchmark.
        sent.map_err(|_| Error::DestinationUnavailable)?;
        connection.await.unwrap_or(Err(Error::DestinationUnavailable))
    }
}
