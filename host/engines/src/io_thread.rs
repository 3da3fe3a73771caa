//! A thread whose event loop makes calls to servers.

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::Error;

/// A separate thread whose event loop makes all calls to a server and drives all connections to the server. So a call
/// never waits for the threads that run guests. The thread ends when the last clone of this value is dropped.
#[derive(Clone, Debug)]
pub struct IoThread {
    runtime: Handle,
    _alive: Arc<oneshot::Sender<()>>,
}

impl IoThread {
    /// Starts the thread. `name` is the thread's name.
    ///
    /// # Errors
    /// Returns an error if the system cannot start a thread or an event loop.
    pub fn start(name: &str) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (alive, ended) = oneshot::channel::<()>();
        thread::Builder::new().name(name.to_owned()).spawn(move || runtime.block_on(ended))?;
        Ok(Self { runtime: handle, _alive: Arc::new(alive) })
    }

    /// Returns a handle to the thread's event loop.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Runs the future `call` on the thread, and returns the result. If the caller stops waiting, `call` still runs to
    /// its end.
    ///
    /// # Errors
    /// Returns the error of `call`. If the thread ends before `call` has ended, returns [`Error::Unavailable`].
    pub async fn call<T, E, F>(&self, call: F) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: Future<Output = std::result::Result<T, E>> + Send + 'static,
    {
        let unended = |error| Err(Error::Unavailable(format!("the call ended without a result: {error}")).into());
        self.runtime.spawn(call).await.unwrap_or_else(unended)
    }
}
