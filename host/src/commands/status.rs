//! `epilogue status`: shows what a running host does now.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use epilogue_rules::duration::Shown;

use crate::reports::view::{Phase, Summary};
use crate::server::control;
use crate::server::overview::{Durable, State, Status};
use crate::tasks::leases::Worker;

/// The pause before `epilogue status --watch` asks the host again.
const PAUSE: Duration = Duration::from_secs(1);

/// The largest number of characters of a name in a table.
const MAX_NAME: usize = 60;

/// The options of `epilogue status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Process ID of the host. You need this ID only if you run several hosts on this machine.
    #[arg(value_name = "PID")]
    pid: Option<u32>,
    /// Print the state as one JSON object.
    #[arg(long)]
    json: bool,
    /// Print the state every second, until the host has ended.
    #[arg(long)]
    watch: bool,
}

/// Asks a running host for its state, and prints the state.
///
/// # Errors
///
/// Returns an error if this user runs no host, or if the host does not answer. If this user runs several hosts, also
/// returns an error if `args` has no PID.
pub(crate) fn status(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let pid = match (args.pid, &*control::processes()) {
        (Some(pid), _) => pid,
        (None, [pid]) => *pid,
        (None, []) => bail!("no host of this user runs here: start one with `epilogue up`"),
        (None, pids) => {
            let pids: Vec<_> = pids.iter().map(u32::to_string).collect();
            bail!("several hosts run: use `epilogue status PID` with one of {}", pids.join(", "))
        }
    };
    let mut out = std::io::stdout();
    loop {
        let status = control::ask(pid)?;
        let text = if args.json {
            serde_json::to_string(&status).context("cannot write the state")? + "\n"
        } else {
            table(&status)
        };
        if args.watch && out.is_terminal() {
            // These codes clear the screen, and move the cursor to the top.
            write!(out, "\x1b[H\x1b[2J")?;
        }
        out.write_all(text.as_bytes())?;
        out.flush()?;
        if !args.watch {
            return Ok(ExitCode::SUCCESS);
        }
        sleep(PAUSE);
        if !control::processes().contains(&pid) {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// Formats the state of a host as tables for people.
pub(crate) fn table(status: &Status) -> String {
    let State { name, pid, state, started, requests, draining, batches, .. } = &status.state;
    let mut text = String::new();
    let mut line = |label: &str, content: String| _ = writeln!(text, "{label:<12}{content}");
    line("host", format!("{name:?}  process {pid}  {state}  since {started}"));
    if let Some(left) = status.state.grace_left {
        line("grace", format!("{left:.0} s"));
    }
    line("requests", format!("{requests} at work  {draining} draining"));
    let waiting = status.state.tasks_waiting;
    line(
        "tasks",
        match status.state.tasks_running {
            Some(running) => format!("{running} running  {waiting} waiting"),
            None => format!("{waiting} unfinished"),
        },
    );
    line(
        "batches",
        match status.state.backlog {
            Some(Durable { ready, delayed, leased, dead }) => {
                format!("{batches} here  {ready} ready  {delayed} delayed  {leased} leased  {dead} dead")
            }
            None if status.state.has_task_engine => format!("{batches} here  the task engine does not answer"),
            None => format!("{batches} here"),
        },
    );
    line("instances", format!("{} in use  {} idle", status.state.instances_in_use, status.state.instances_idle));
    if !status.state.refused.is_empty() {
        let refused: Vec<_> = status.state.refused.iter().map(|(limit, count)| format!("{count} {limit}")).collect();
        line("refused", refused.join("  "));
    }
    for version in &status.state.versions {
        line("version", version.loaded.clone());
    }
    _ = writeln!(text, "\n{:<16} {:>14} {:>14}", "LIMIT", "USE", "OF");
    for limit in &status.state.limits {
        _ = writeln!(text, "{:<16} {:>14} {:>14}", limit.name, limit.used, limit.limit);
    }
    if let Some(workers) = status.workers.as_ref().filter(|workers| !workers.is_empty()) {
        _ = writeln!(text, "\n{:<40} {:>7}  {:<24} {:>9}", "WORKER", "BATCHES", "TASKS", "LEASE");
        for worker in workers {
            leases(&mut text, worker);
        }
    }
    match &status.requests_now {
        None => _ = writeln!(text, "\nTo see each request and each batch, start this process with --metrics-listen."),
        Some(requests) if requests.is_empty() => {}
        Some(requests) => {
            _ = writeln!(
                text,
                "\n{:<36} {:<12} {:<9} {:>9}  {:<24} REQUEST",
                "ID", "COMPONENT", "PHASE", "AGE", "TASKS"
            );
            for request in requests {
                row(&mut text, request);
            }
        }
    }
    text
}

/// Escapes a name that somebody else has chosen, and cuts it to a width that fits into a table.
fn shown(name: &str) -> String {
    let mut shown: String = name.chars().take(MAX_NAME).flat_map(char::escape_debug).collect();
    if name.chars().nth(MAX_NAME).is_some() {
        shown.push('…');
    }
    shown
}

/// Appends a worker's line to `text`: the worker's name, the number of its batches, the names of its tasks, and the
/// time until the first of its leases ends.
fn leases(text: &mut String, worker: &Worker) {
    let mut tasks: Vec<_> = worker.batches.iter().map(|batch| batch.summary.task.as_str()).collect();
    tasks.sort_unstable();
    tasks.dedup();
    let name = shown(worker.name.as_deref().unwrap_or("unknown"));
    let tasks = shown(&tasks.join(", "));
    let left = worker.batches.iter().filter_map(|batch| batch.lease_left).reduce(f64::min);
    let left = left.map_or_else(|| "?".to_owned(), |left| format!("{left:.0} s"));
    _ = writeln!(text, "{name:<40} {:>7}  {tasks:<24} {left:>9}", worker.leased);
}

fn row(text: &mut String, request: &Summary) {
    let phase = match request.phase {
        Phase::Handling => "handling",
        Phase::Sending => "sending",
        Phase::Draining => "draining",
        Phase::Ended => "ended",
    };
    let tasks: Vec<_> = request.tasks.iter().flatten().map(|(state, count)| format!("{count} {state}")).collect();
    let age = Shown(Duration::from_millis(request.now / 1000)).to_string();
    let what = match (&request.method, &request.path) {
        // The path is escaped, because a client has chosen it.
        (Some(method), Some(path)) => format!("{method} {}", path.escape_debug()),
        _ => "durable tasks".to_owned(),
    };
    let component = shown(&request.component);
    _ = writeln!(text, "{:<36} {component:<12} {phase:<9} {age:>9}  {:<24} {what}", request.id, tasks.join(", "));
}
