//! A thread for calls to servers.

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::Error;

/// A thread with an event loop, for all calls to a server. With its own thread, a call never waits for a thread that
/// runs guests. All connections belong to this one event loop. The thread ends when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct IoThread {
    runtime: Handle,
    _alive: Arc<oneshot::Sender<()>>,
}

impl IoThread {
    /// Starts the thread, with this name.
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

    /// The thread's event loop.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Makes a call on the thread. The call runs to its end even if its caller no longer waits for it.
    ///
    /// # Errors
    /// Returns the error of the call. If the thread ends before the call has ended, returns [`Error::Unavailable`].
    pub async fn call<T, E, F>(&self, call: F) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: Future<Output = std::result::Result<T, E>> + Send + 'static,
    {
        let unended = |error| Err(Error::Unavailable(format!("the call did not end: {error}")).into());
        self.runtime.spawn(call).await.unwrap_or_else(unended)
    }
}
