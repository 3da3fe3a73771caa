//! Graceful shutdown (S13). The host accepts no new work, finishes the running work, and stops by force at the end of
//! the grace.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Exit code of a process that abandoned tasks when it stopped, or that ended by force.
pub(crate) const ABANDONED: u8 = 3;

/// The stage of the shutdown.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Running,
    Draining { until: Instant },
    Stopped,
}

/// Begins the shutdown of the servers that hold the matching [`Shutdown`], or stops these servers at once.
#[derive(Debug, Clone)]
pub(crate) struct ShutdownTrigger(watch::Sender<Stage>);

/// Tells a server whether the shutdown has begun, and when the grace ends.
#[derive(Debug, Clone)]
pub(crate) struct Shutdown {
    stage: watch::Receiver<Stage>,
    trigger: ShutdownTrigger,
}

/// Makes a shutdown that has not begun, and the trigger that begins it.
pub(crate) fn channel() -> (ShutdownTrigger, Shutdown) {
    let (sender, receiver) = watch::channel(Stage::Running);
    let trigger = ShutdownTrigger(sender);
    (trigger.clone(), Shutdown { stage: receiver, trigger })
}

impl ShutdownTrigger {
    /// Begins the shutdown. Running requests and their tasks may finish within `grace`, and the servers accept no new
    /// work. Later calls change nothing.
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

    /// Stops the servers at once. The servers abandon all tasks that have not ended.
    pub(crate) fn stop(&self) {
        self.0.send_replace(Stage::Stopped);
    }
}

impl Shutdown {
    /// Begins the shutdown from within the server.
    pub(crate) fn drain(&self, grace: Duration) {
        self.trigger.drain(grace);
    }

    /// Reports whether the shutdown has begun.
    pub(crate) fn has_begun(&self) -> bool {
        !matches!(*self.stage.borrow(), Stage::Running)
    }

    /// Returns the time at which the grace ends, or none if the shutdown has not begun.
    pub(crate) fn end(&self) -> Option<Instant> {
        match *self.stage.borrow() {
            Stage::Running => None,
            Stage::Draining { until } => Some(until),
            Stage::Stopped => Some(Instant::now()),
        }
    }

    /// Reports whether all work must have ended at the time `now`, because the grace has passed or
    /// [`ShutdownTrigger::stop`] has cut the grace short.
    pub(crate) fn has_stopped(&self, now: Instant) -> bool {
        match *self.stage.borrow() {
            Stage::Running => false,
            Stage::Draining { until } => until <= now,
            Stage::Stopped => true,
        }
    }

    /// Returns the rest of the grace. Returns zero if the shutdown has not begun, or if [`ShutdownTrigger::stop`] has
    /// cut the grace short.
    pub(crate) fn left(&self) -> Duration {
        match *self.stage.borrow() {
            Stage::Draining { until } => until.saturating_duration_since(Instant::now()),
            Stage::Running | Stage::Stopped => Duration::ZERO,
        }
    }

    /// Waits until the shutdown begins, and returns the time at which its grace ends.
    pub(crate) async fn begun(&mut self) -> Instant {
        let stage = self.stage.wait_for(|stage| !matches!(stage, Stage::Running)).await.map(|stage| *stage);
        match stage {
            Ok(Stage::Draining { until }) => until,
            Ok(_) => Instant::now(),
            // Not reached, because this value also holds the sender.
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits until the grace has passed, or until [`ShutdownTrigger::stop`] cuts the grace short. All work must have
    /// ended at this time.
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
