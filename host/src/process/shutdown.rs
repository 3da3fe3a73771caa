//! Implements the graceful shutdown (promise S13). The host accepts no new work and finishes the running work. If work
//! still runs at the end of the grace period, the host stops by force.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Exit code of a process that abandoned tasks at its shutdown, or that ended by force.
pub(crate) const ABANDONED: u8 = 3;

/// The state of the shutdown: the shutdown has not begun, it has begun with a grace period, or all work must stop
/// immediately.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Running,
    Draining { until: Instant },
    Stopped,
}

/// The sending half of a shutdown channel. With this value, the host begins the shutdown of all servers that hold the
/// matching [`Shutdown`], or stops these servers immediately.
#[derive(Debug, Clone)]
pub(crate) struct ShutdownTrigger(watch::Sender<Stage>);

/// The receiving half of a shutdown channel. This value tells a server whether the shutdown has begun, and when the
/// grace period ends.
#[derive(Debug, Clone)]
pub(crate) struct Shutdown {
    stage: watch::Receiver<Stage>,
    trigger: ShutdownTrigger,
}

/// Makes both halves of a shutdown channel. The shutdown begins only when the host calls [`ShutdownTrigger::drain`] or
/// [`ShutdownTrigger::stop`].
pub(crate) fn channel() -> (ShutdownTrigger, Shutdown) {
    let (sender, receiver) = watch::channel(Stage::Running);
    let trigger = ShutdownTrigger(sender);
    (trigger.clone(), Shutdown { stage: receiver, trigger })
}

impl ShutdownTrigger {
    /// Begins the shutdown. The servers accept no new work, and running requests and their tasks have the time `grace`
    /// to finish. If the shutdown has begun already, this function does nothing.
    pub(crate) fn drain(&self, grace: Duration) {
        self.0.send_if_modified(|stage| {
            let begins = matches!(stage, Stage::Running);
            if begins {
                // A grace that overflows the clock never ends in practice.
                let until = Instant::now().checked_add(grace);
                *stage = Stage::Draining { until: until.unwrap_or_else(far_future) };
            }
            begins
        });
    }

    /// Stops the servers immediately, even before the grace period ends. The servers abandon all tasks that have not
    /// ended.
    pub(crate) fn stop(&self) {
        self.0.send_replace(Stage::Stopped);
    }
}

impl Shutdown {
    /// Begins the shutdown, for example if a thread of the server has failed.
    pub(crate) fn drain(&self, grace: Duration) {
        self.trigger.drain(grace);
    }

    /// Reports whether the shutdown has begun.
    pub(crate) fn has_begun(&self) -> bool {
        !matches!(*self.stage.borrow(), Stage::Running)
    }

    /// Returns the time at which the grace period ends, or `None` if the shutdown has not begun.
    pub(crate) fn end(&self) -> Option<Instant> {
        match *self.stage.borrow() {
            Stage::Running => None,
            Stage::Draining { until } => Some(until),
            Stage::Stopped => Some(Instant::now()),
        }
    }

    /// Reports whether the servers must stop all work. This is the case if the grace period has ended at the time
    /// `now`, or after a call of [`ShutdownTrigger::stop`].
    pub(crate) fn has_stopped(&self, now: Instant) -> bool {
        match *self.stage.borrow() {
            Stage::Running => false,
            Stage::Draining { until } => until <= now,
            Stage::Stopped => true,
        }
    }

    /// Returns the time until the grace period ends. Returns zero before the shutdown, and after a call of
    /// [`ShutdownTrigger::stop`].
    pub(crate) fn left(&self) -> Duration {
        match *self.stage.borrow() {
            Stage::Draining { until } => until.saturating_duration_since(Instant::now()),
            Stage::Running | Stage::Stopped => Duration::ZERO,
        }
    }

    /// Waits until the shutdown begins, and returns the time at which the grace period ends.
    pub(crate) async fn begun(&mut self) -> Instant {
        let stage = self.stage.wait_for(|stage| !matches!(stage, Stage::Running)).await.map(|stage| *stage);
        match stage {
            Ok(Stage::Draining { until }) => until,
            Ok(_) => Instant::now(),
            // Not reached, because this value also holds the sender.
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits until the servers must stop all work: until the grace period has ended, or until somebody calls
    /// [`ShutdownTrigger::stop`].
    pub(crate) async fn stopped(&mut self) {
        let until = self.begun().await;
        tokio::select! {
            () = tokio::time::sleep_until(until) => {}
            Ok(_) = self.stage.wait_for(|stage| matches!(stage, Stage::Stopped)) => {}
        }
    }
}

fn far_future() -> Instant {
    Instant::now() + Duration::from_secs(60 * 60 * 24 * 365)
}
