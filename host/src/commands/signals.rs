//! Handles signals. On SIGTERM and SIGINT, the host shuts down (promise S13). On SIGHUP, the host reloads the
//! application. On SIGUSR1, the host logs its state.

use std::fs::File;
use std::io::IsTerminal as _;
use std::process;
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep};

use crate::commands::status::table;
use crate::commands::watch::Cause;
use crate::process::scratch;
use crate::process::shutdown::{ABANDONED, ShutdownTrigger};
use crate::process::threads::STUCK;
use crate::server::overview::Overview;
use crate::server::progress::Progress;

/// Time between two log lines about the remaining requests and tasks, if stderr is a terminal.
const PROGRESS: Duration = Duration::from_secs(1);
/// Time between two log lines about the remaining requests and tasks, if stderr is not a terminal.
const LOGGED_PROGRESS: Duration = Duration::from_secs(5);

/// Starts a thread that handles signals.
///
/// The first SIGINT or SIGTERM begins the shutdown. A second signal of the same kind stops the host immediately
/// (promise S13). If one SIGINT and one SIGTERM arrive, the host continues the shutdown, because one Ctrl-C can cause
/// both signals: the terminal sends SIGINT, and a process manager such as Spin sends SIGTERM.
pub(crate) fn handle(
    trigger: ShutdownTrigger,
    grace: Duration,
    progress: Progress,
    reloads: Sender<Cause>,
    overview: Arc<OnceLock<Overview>>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = {
        let _context = runtime.enter();
        Signals::new()?
    };
    let watch = async move {
        let mut kinds = loop {
            match signals.next().await {
                Told::Stop(kind) => break vec![kind],
                // The receiver of `reloads` lives as long as the process.
                Told::Reload => _ = reloads.send(Cause::Signal),
                Told::Status => _ = tokio::spawn(log_status(overview.get().cloned())),
            }
        };
        // This line must come before the shutdown begins. The process may end at once, and "stopped after" must be its
        // last line.
        let report = Report::start(progress, grace);
        trigger.drain(grace);
        let second = async {
            loop {
                match signals.next().await {
                    Told::Stop(kind) if kinds.contains(&kind) => break,
                    Told::Stop(kind) => kinds.push(kind),
                    Told::Reload => {}
                    Told::Status => _ = tokio::spawn(log_status(overview.get().cloned())),
                }
            }
        };
        tokio::select! {
            () = sleep(grace) => {}
            () = second => {
                // This line comes first, because the process may end with the stop.
                tracing::warn!(target: "epilogue::signals", "stopping at once");
                trigger.stop();
            }
            () = report.repeat() => {}
        }
        // A thread that still runs is stuck in the host's own code, or in a system call.
        sleep(STUCK).await;
        scratch::delete_all();
        process::exit(ABANDONED.into());
    };
    let thread = std::thread::Builder::new().name("epilogue-signals".into());
    thread.spawn(move || runtime.block_on(watch)).context("cannot start the signal thread")?;
    Ok(())
}

/// Logs the state of the process, with one event for each line that `epilogue status` prints. This can take as long as the
/// task engine takes to answer, so the caller does not wait: the next signal may be a signal to stop.
async fn log_status(overview: Option<Overview>) {
    let Some(overview) = overview else {
        tracing::info!(target: "epilogue::signals", "the application is not loaded yet");
        return;
    };
    for line in table(&overview.status().await).lines().filter(|line| !line.is_empty()) {
        // The line is a field, because clients and guests have chosen some words of the line.
        tracing::info!(target: "epilogue::signals", line, "status");
    }
}

/// The action that a signal asks the host to take.
enum Told {
    Stop(SignalKind),
    Reload,
    Status,
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    user: Signal,
    /// True if the process had a terminal when it started. In that case, SIGHUP can mean that the terminal has closed.
    terminal: bool,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            user: signal(SignalKind::user_defined1())?,
            terminal: has_terminal(),
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.interrupt.recv() => Told::Stop(SignalKind::interrupt()),
            _ = self.terminate.recv() => Told::Stop(SignalKind::terminate()),
            _ = self.user.recv() => Told::Status,
            // The system also sends SIGHUP when the terminal closes.
            _ = self.hangup.recv() => match self.terminal && !has_terminal() {
                true => Told::Stop(SignalKind::hangup()),
                false => Told::Reload,
            },
        }
    }
}

fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

/// Logs how many running requests and tasks the shutdown still waits for.
struct Report {
    progress: Progress,
    grace: Duration,
    start: Instant,
}

impl Report {
    /// Begins the report: logs the number of remaining requests and tasks, and remembers the current time as the start
    /// of the grace period.
    fn start(progress: Progress, grace: Duration) -> Self {
        let report = Self { progress, grace, start: Instant::now() };
        report.log("; the same signal again stops them at once");
        report
    }

    /// Logs the number of remaining requests and tasks at regular intervals. If no request remains, logs nothing. This
    /// function never returns.
    async fn repeat(&self) {
        let pause = if std::io::stderr().is_terminal() { PROGRESS } else { LOGGED_PROGRESS };
        loop {
            sleep(pause).await;
            if self.progress.requests() > 0 {
                self.log("");
            }
        }
    }

    fn log(&self, advice: &str) {
        let seconds = self.grace.saturating_sub(self.start.elapsed()).as_secs_f64().round();
        tracing::info!(target: "epilogue::signals", "stopping: {} left, {seconds} s{advice}", self.progress);
    }
}
