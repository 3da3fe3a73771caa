//! Runs the threads of a server or of a worker. If one thread ends with an error or a panic, the other threads begin a
//! graceful shutdown.

use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

use crate::process::shutdown::Shutdown;

/// If a thread still runs when this time has passed after the grace period, the process no longer waits for the thread.
/// During this time, a worker makes its last calls to the task engine.
pub(crate) const STUCK: Duration = Duration::from_secs(5);

/// A thread's event loop. The host makes all event loops before it starts the threads. So if the system has no file
/// descriptor left for an event loop, the host fails before it reports itself ready.
pub(crate) struct EventLoop(Runtime);

impl EventLoop {
    /// Makes one event loop for each thread. `threads` is the number of threads.
    ///
    /// # Errors
    ///
    /// Returns an error if the system has no file descriptor left for an event loop.
    pub(crate) fn for_each(threads: usize) -> anyhow::Result<Vec<Self>> {
        let make = |_| tokio::runtime::Builder::new_current_thread().enable_all().build().map(Self);
        (0..threads).map(make).collect::<Result<_, _>>().context("cannot make an event loop")
    }

    /// Runs the event loop on the current thread. Calls `begin` in the event loop, and runs the future that `begin`
    /// returns, until the future has ended. The future may spawn local tokio tasks.
    pub(crate) fn block_on<F: Future>(self, begin: impl FnOnce() -> F) -> F::Output {
        let Self(runtime) = self;
        let local = LocalSet::new();
        let output = local.block_on(&runtime, async { begin().await });
        drop(local);
        // A plain drop would wait for blocking system calls, such as a name lookup.
        runtime.shutdown_background();
        output
    }
}

/// Runs each function of `works` on its own thread, and waits until all threads have ended. If a thread ends with an
/// error or a panic, the shutdown begins, and the other threads have the time `grace` to end.
pub(crate) fn run<W>(works: impl Iterator<Item = W>, shutdown: &Shutdown, grace: Duration) -> anyhow::Result<()>
where
    W: FnOnce() -> anyhow::Result<()> + Send + 'static,
{
    // The thread drops this value when it ends, also after a panic.
    struct End(Sender<usize>, usize);
    impl Drop for End {
        fn drop(&mut self) {
            _ = self.0.send(self.1);
        }
    }

    let (sender, ends) = mpsc::channel();
    let mut threads: Vec<Option<JoinHandle<anyhow::Result<()>>>> = Vec::new();
    let (mut result, mut deadline) = (Ok(()), None);
    let mut fail = |error: anyhow::Error, deadline: &mut Option<Instant>| {
        tracing::error!(target: "epilogue::threads", "{error:#}");
        shutdown.drain(grace);
        *deadline = deadline.or(Instant::now().checked_add(grace.saturating_add(STUCK)));
        if result.is_ok() {
            result = Err(error);
        }
    };
    for (index, work) in works.enumerate() {
        let end = End(sender.clone(), index);
        let work = move || {
            let _end = end;
            work()
        };
        match std::thread::Builder::new().name(format!("epilogue-{index}")).spawn(work) {
            Ok(thread) => threads.push(Some(thread)),
            Err(error) => {
                fail(anyhow!(error).context("cannot start a worker thread"), &mut deadline);
                break;
            }
        }
    }
    drop(sender);
    loop {
        let end = match deadline {
            None => ends.recv().ok(),
            Some(until) => ends.recv_timeout(until.saturating_duration_since(Instant::now())).ok(),
        };
        // All threads have ended, or a thread is stuck.
        let Some(index) = end else { return result };
        let Some(thread) = threads.get_mut(index).and_then(Option::take) else { continue };
        if let Err(error) = thread.join().map_err(|_| anyhow!("it panicked")).flatten() {
            fail(error.context("a thread of the host ended"), &mut deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic;

    use super::*;
    use crate::process::shutdown;

    const GRACE: Duration = Duration::from_secs(60);

    type Job = Box<dyn FnOnce() -> anyhow::Result<()> + Send>;

    /// Runs `first` on one thread. On another thread, waits until the shutdown begins.
    fn run_beside(first: impl FnOnce() -> anyhow::Result<()> + Send + 'static) -> anyhow::Result<()> {
        let (_trigger, shutdown) = shutdown::channel();
        let mut begun = shutdown.clone();
        let other = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(begun.begun());
            Ok(())
        };
        // The thread that fails is not the first one in the list.
        let jobs: [Job; 2] = [Box::new(other), Box::new(first)];
        run(jobs.into_iter(), &shutdown, GRACE)
    }

    #[test]
    fn a_thread_that_ends_with_an_error_ends_all() {
        let error = run_beside(|| Err(anyhow!("no socket"))).unwrap_err();
        assert_eq!(format!("{error:#}"), "a thread of the host ended: no socket");
    }

    #[test]
    fn a_thread_that_panics_ends_all() {
        let error = run_beside(|| panic::resume_unwind(Box::new("on purpose"))).unwrap_err();
        assert_eq!(format!("{error:#}"), "a thread of the host ended: it panicked");
    }

    #[test]
    fn a_thread_that_is_stuck_holds_nobody_up() {
        let (_trigger, shutdown) = shutdown::channel();
        let (_never, stuck) = mpsc::channel::<()>();
        let stuck = move || Ok(stuck.recv()?);
        let jobs: [Job; 2] = [Box::new(stuck), Box::new(|| Err(anyhow!("no socket")))];
        assert!(run(jobs.into_iter(), &shutdown, Duration::ZERO).is_err());
    }
}
