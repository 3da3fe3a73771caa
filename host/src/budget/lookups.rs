//! Looks up host names for guests on separate threads, and limits the number of lookups for each instance and
//! component.
//!
//! The operating system's resolver blocks the thread that calls it. If a name server does not answer, the thread stays
//! blocked for many seconds, and the host cannot interrupt the call. Therefore, the limits count a lookup until the
//! lookup's thread is free again, even if the guest that started the lookup has ended.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, LazyLock};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

/// The number of lookups that one instance may run at the same time. Further lookups wait.
const PER_INSTANCE: usize = 8;
/// The number of lookups that all instances of one component together may run at the same time. Further lookups wait.
const PER_COMPONENT: usize = 16;
/// The number of lookups that the whole process may run at the same time. Further lookups wait.
const PER_PROCESS: usize = 64;

/// The threads on which the host looks up names. The host reads guests' files on other threads, so that reading a file
/// never waits for a lookup.
static THREADS: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
    Builder::new_current_thread().max_blocking_threads(PER_PROCESS).thread_name("epilogue-lookup").build()
});

/// Limits the lookups of one component, over all of its instances.
#[derive(Clone, Debug)]
pub(crate) struct ComponentLookups(Arc<Semaphore>);

impl Default for ComponentLookups {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(PER_COMPONENT)))
    }
}

impl ComponentLookups {
    /// Makes the [`Lookups`] for a new instance of this component.
    pub(crate) fn instance(&self) -> Lookups {
        Lookups { instance: Arc::new(Semaphore::new(PER_INSTANCE)), component: self.0.clone() }
    }
}

/// Looks up names for one instance, within the limits of the instance and of its component.
#[derive(Clone, Debug)]
pub(crate) struct Lookups {
    instance: Arc<Semaphore>,
    component: Arc<Semaphore>,
}

impl Lookups {
    /// Looks up the addresses of `host`, which is a name or an address. Combines each address with `port`. Waits until
    /// the instance and its component may start one more lookup.
    ///
    /// # Errors
    ///
    /// Returns an error if the name has no address, or if its name server does not answer.
    pub(crate) async fn resolve(self, host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.run(move || (host.as_str(), port).to_socket_addrs().map(Iterator::collect)).await
    }

    /// Runs `lookup` as soon as the instance and its component may start one more lookup. `lookup` may block its
    /// thread.
    async fn run<R: Send + 'static>(self, lookup: impl FnOnce() -> io::Result<R> + Send + 'static) -> io::Result<R> {
        let closed = |_| io::Error::other("the host stops");
        let threads = THREADS.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
        // The lookup waits in its own tokio task, so that the first lookup in the line starts as soon as a place is
        // free, even if its guest does not poll the lookup.
        let lookup = AbortOnDropHandle::new(tokio::spawn(async move {
            let places = (
                self.instance.acquire_owned().await.map_err(closed)?,
                self.component.acquire_owned().await.map_err(closed)?,
            );
            let lookup = move || {
                let found = lookup();
                drop(places);
                found
            };
            threads.spawn_blocking(lookup).await.map_err(io::Error::other)?
        }));
        lookup.await.map_err(io::Error::other)?
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver, Sender};

    use super::*;

    /// A lookup that runs until the test drops the sender of the channel `answer`.
    struct Silent {
        begun: Sender<()>,
        answer: Arc<std::sync::Mutex<Receiver<()>>>,
    }

    impl Silent {
        fn lookup(&self) -> impl FnOnce() -> io::Result<()> + Send + 'static {
            let (begun, answer) = (self.begun.clone(), self.answer.clone());
            move || {
                begun.send(()).unwrap();
                let silence = answer.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                silence.recv().map_err(io::Error::other)
            }
        }
    }

    #[tokio::test]
    async fn lookups_that_nobody_answers_stop_neither_the_component_s_neighbors_nor_end_with_their_guests() {
        let (begun, begins) = mpsc::channel();
        let (answer, silence) = mpsc::channel();
        let silent = Silent { begun, answer: Arc::new(std::sync::Mutex::new(silence)) };
        let (component, neighbor) = (ComponentLookups::default(), ComponentLookups::default());

        let alone = component.instance();
        let of_one: Vec<_> = (0..20).map(|_| tokio::spawn(alone.clone().run(silent.lookup()))).collect();
        wait_for(&begins, PER_INSTANCE).await;
        let of_others: Vec<_> = (0..40).map(|_| tokio::spawn(component.instance().run(silent.lookup()))).collect();
        wait_for(&begins, PER_COMPONENT - PER_INSTANCE).await;

        // The guests end, but their lookups go on. So the host starts no other lookup yet.
        of_one.iter().chain(&of_others).for_each(|lookup| lookup.abort());
        let late = tokio::spawn(component.instance().run(silent.lookup()));
        assert!(neighbor.instance().resolve("localhost".to_owned(), 80).await.is_ok());
        assert_eq!(begins.try_iter().count(), 0, "more lookups run than may");

        drop(answer);
        assert!(late.await.unwrap().is_err());
        assert_eq!(begins.try_iter().count(), 1);
    }

    /// Waits until `count` lookups have started.
    async fn wait_for(begins: &Receiver<()>, count: usize) {
        for _ in 0..count {
            while begins.try_recv().is_err() {
                tokio::task::yield_now().await;
            }
        }
    }
}
