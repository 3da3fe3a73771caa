//! Connects components of one application, so that a component can call another component inside the process. To make a
//! call, a component sends a request to `http://ID.spin.internal`.

use std::sync::Arc;

use futures::future::LocalBoxFuture;
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, oneshot};
use wasmtime_wasi_http::Error;

use crate::process::shutdown::Shutdown;

/// Connects the components of one thread to each other. The thread itself serves these connections, so a call never
/// leaves the thread.
#[derive(Clone)]
pub(crate) struct Chaining(mpsc::UnboundedSender<Call>);

/// The message with which a component asks its thread for a connection to another component of the application.
pub(crate) struct Call {
    /// The id of the component to which the connection leads.
    pub(crate) component: String,
    /// The channel through which the calling component gets the connection, or an error if there is no connection.
    pub(crate) connected: oneshot::Sender<Result<DuplexStream, Error>>,
}

/// A function that makes the current thread serve the calls between the components. The host passes this function to
/// the threads that run durable tasks, because these tasks may call other components.
pub(crate) type ServeCalls = Arc<dyn Fn(&Shutdown) -> Served + Send + Sync>;

/// The handles of a thread that serves the calls between its components.
pub(crate) struct Served {
    pub(crate) chaining: Chaining,
    /// A future that completes when all calls and the tasks of all calls have ended.
    pub(crate) ended: LocalBoxFuture<'static, ()>,
}

impl Chaining {
    /// Makes a channel for calls between components. Components make their calls with the [`Chaining`]. The thread that
    /// serves these calls receives them from the receiver.
    pub(crate) fn channel() -> (Self, mpsc::UnboundedReceiver<Call>) {
        let (sender, calls) = mpsc::unbounded_channel();
        (Self(sender), calls)
    }

    /// Connects to the component with the id `component`, for one request. If the host cannot take another request,
    /// returns an error without waiting.
    ///
    /// # Errors
    ///
    /// Returns `DestinationNotFound` if the application has no component with this id. Returns `ConnectionLimitReached`
    /// if the host cannot take another request.
    pub(super) async fn connect(&self, component: String) -> Result<DuplexStream, Error> {
        let (connected, connection) = oneshot::channel();
        let sent = self.0.send(Call { component, connected });
        // Each thread serves its calls until its end, except in a benchmark.
        sent.map_err(|_| Error::DestinationUnavailable)?;
        connection.await.unwrap_or(Err(Error::DestinationUnavailable))
    }
}
