//! Graceful shutdown: stop accepting, finish, and stop by force at the deadline (S13).

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// The exit code of a process whose stop has abandoned tasks, or that had to end by force.
pub(crate) const ABANDONED: u8 = 3;

/// The stage of the shutdown.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Running,
    Draining { until: Instant },
    Stopped,
}

/// Starts the shutdown of the servers that hold the matching [`Shutdown`], or stops them at once.
#[derive(Debug, Clone)]
pub(crate) struct ShutdownTrigger(watch::Sender<Stage>);

/// The shutdown, as a server sees it.
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
    /// Lets requests and their tasks finish for as long as `grace`, and accepts no more. Later calls change nothing.
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

    /// Stops at once. Tasks that have not ended are abandoned.
    pub(crate) fn stop(&self) {
        self.0.send_replace(Stage::Stopped);
    }
}

impl Shutdown {
    /// Begins the shutdown from within the server.
    pub(crate) fn drain(&self, grace: Duration) {
        self.trigger.drain(grace);
    }

    /// Whether the shutdown has begun.
    pub(crate) fn has_begun(&self) -> bool {
        !matches!(*self.stage.borrow(), Stage::Running)
    }

    /// The end of the grace. None before the shutdown.
    pub(crate) fn end(&self) -> Option<Instant> {
        match *self.stage.borrow() {
            Stage::Running => None,
            Stage::Draining { until } => Some(until),
            Stage::Stopped => Some(Instant::now()),
        }
    }

    /// Whether everything must end, because at the time `now` the grace has passed or was cut short.
    pub(crate) fn has_stopped(&self, now: Instant) -> bool {
        match *self.stage.borrow() {
            Stage::Running => false,
            Stage::Draining { until } => until <= now,
            Stage::Stopped => true,
        }
    }

    /// The rest of the grace. Zero if it was cut short, or if the shutdown has not begun.
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

    /// Waits until everything must end: the grace has passed, or was cut short.
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
