//! Keeps data of each thread apart, so that the threads do not wait for each other and do not share cache lines.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The number of places for data. If the process has more threads than places, some threads share a place.
const PLACES: usize = 64;

thread_local! {
    /// The index of the place that this thread uses.
    static OWN: Cell<Option<usize>> = const { Cell::new(None) };
}

/// A value of type `T` for each thread. Other threads may read the value of a thread.
pub(crate) struct PerThread<T>([Place<T>; PLACES]);

/// A place for data. The alignment keeps the data of two threads in different cache lines. The processor fetches two
/// lines of 64 bytes at once.
#[derive(Default)]
#[repr(align(128))]
struct Place<T>(Mutex<T>);

impl<T> PerThread<T> {
    /// Locks the value of this thread.
    pub(crate) fn own(&self) -> MutexGuard<'_, T> {
        self.0[own()].lock()
    }

    /// Locks the values of all threads, one after the other.
    pub(crate) fn each(&self) -> impl Iterator<Item = MutexGuard<'_, T>> {
        self.0.iter().map(Place::lock)
    }
}

impl<T> Place<T> {
    /// Locks the value. If a thread has panicked while it held the lock, the value is still usable.
    fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Default> Default for PerThread<T> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Place::default()))
    }
}

fn own() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    OWN.get().unwrap_or_else(|| {
        let own = NEXT.fetch_add(1, Relaxed) % PLACES;
        OWN.set(Some(own));
        own
    })
}
