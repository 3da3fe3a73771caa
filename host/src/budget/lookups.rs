//! Name lookups: few at a time for an instance and for a component, on threads of their own.
//!
//! The system's resolver blocks its thread, for many seconds where a name server does not answer. Nobody can interrupt
//! it, and so a lookup keeps its place until its thread is back, even if its guest has long gone.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, LazyLock};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

/// How many lookups of one instance may run at a time. The next one waits.
const PER_INSTANCE: usize = 8;
/// How many lookups of all of a component's instances may run at a time. The next one waits.
const PER_COMPONENT: usize = 16;
/// How many lookups of the whole process may run at a time. The next one waits.
const PER_PROCESS: usize = 64;

/// The threads on which names are looked up. Guests' files are read on other threads, and never wait for a lookup.
static THREADS: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
    Builder::new_current_thread().max_blocking_threads(PER_PROCESS).thread_name("epilogue-lookup").build()
});

/// A component's share of the process's lookups.
#[derive(Clone, Debug)]
pub(crate) struct ComponentLookups(Arc<Semaphore>);

impl Default for ComponentLookups {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(PER_COMPONENT)))
    }
}

impl ComponentLookups {
    /// The lookups of a new instance of the component.
    pub(crate) fn instance(&self) -> Lookups {
        Lookups { instance: Arc::new(Semaphore::new(PER_INSTANCE)), component: self.0.clone() }
    }
}

/// The lookups of one instance.
#[derive(Clone, Debug)]
pub(crate) struct Lookups {
    instance: Arc<Semaphore>,
    component: Arc<Semaphore>,
}

impl Lookups {
    /// The addresses of `host`, a name or an address, each with `port`. Waits until the instance and its component may
    /// look up one more name.
    ///
    /// # Errors
    ///
    /// If the name has no address, or its name server does not answer.
    pub(crate) async fn resolve(self, host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
        let closed = |_| io::Error::other("the host stops");
        let threads = THREADS.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
        let places = (
            self.instance.acquire_owned().await.map_err(closed)?,
            self.component.acquire_owned().await.map_err(closed)?,
        );
        let lookup = move || {
            let addresses = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
            drop(places);
            addresses
        };
        threads.spawn_blocking(lookup).await.map_err(io::Error::other)?
    }
}
