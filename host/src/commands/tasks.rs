//! `epilogue tasks`: shows operators the durable tasks in the task engine, and retries or removes them.

mod change;

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use epilogue_engines::{Batch, BatchState, Entry, Options};
use epilogue_manifest::Manifest;
use epilogue_manifest::settings::{HostOptions, HostOverlay};
use epilogue_manifest::values::LogFilter;
use serde::Serialize;

use crate::app::TaskStore;
use crate::commands::cli::{TasksArgs, TasksCommand};
use crate::telemetry::logging::{self, Escaped};

/// Runs `epilogue tasks`. The exit code is 1 if the command line names a batch that is not stored or that cannot be
/// retried, or if the operator does not confirm the removal of batches.
///
/// # Errors
///
/// Returns an error if the task engine cannot be used.
pub(super) fn run(args: TasksArgs) -> anyhow::Result<ExitCode> {
    let host = settings(&args)?;
    let which = "no task engine is named: use --engine, EPILOGUE_ENGINE, or --from with a manifest that sets engine";
    let url = host.engine.as_deref().context(which)?;
    ensure!(
        !url.starts_with("memory:"),
        "no other process can read the engine \"memory:\": use sqlite:PATH, redis://HOST or nats://HOST"
    );
    let options = Options { visibility: host.visibility_timeout, operator: true, ..Options::default() };
    // The manifest's filter does not count, because the operator wants to see events here that the host does not log.
    let log = args.log.clone().unwrap_or_else(LogFilter::tasks);
    logging::init(&HostOptions { log, ..host.clone() }, None)?;
    let store = TaskStore::open(url, options)?;
    let done = match args.command {
        TasksCommand::List { state, limit } => list(&store, state.map(Into::into), limit, args.json),
        TasksCommand::Dead { limit } => list(&store, Some(BatchState::Dead), limit, args.json),
        TasksCommand::Show { id } => show(&store, &id, args.json),
        TasksCommand::Retry { ids, choice } => change::retry(&store, &ids, &choice),
        TasksCommand::Drop { ids, choice, state, yes } => {
            change::drop(&store, &ids, &choice, state.map(Into::into), yes)
        }
    };
    match done {
        // The reader closes the pipe when it has read enough.
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe) => {
            Ok(ExitCode::SUCCESS)
        }
        done => Ok(if done? { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
    }
}

/// Returns the options that the command uses. If the command line does not set an option, the value comes from the
/// manifest. If the command line names a task engine and no manifest, this function reads no manifest.
fn settings(args: &TasksArgs) -> anyhow::Result<HostOptions> {
    let given = HostOverlay {
        engine: args.engine.clone(),
        visibility_timeout: args.visibility_timeout,
        log_format: args.log_format,
        ..HostOverlay::default()
    };
    let named = args.from.is_some();
    if given.engine.is_some() && !named {
        return Ok(given.resolve());
    }
    match Manifest::find(args.from.as_deref()).and_then(|path| Manifest::load(&path)) {
        Ok(manifest) => Ok(given.over(manifest.host).resolve()),
        Err(error) if named => Err(error),
        Err(_) => Ok(given.resolve()),
    }
}

/// The JSON object that `epilogue tasks --json` prints for a batch.
#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    state: BatchState,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<&'a str>,
    /// The names of the batch's tasks, including tasks that have ended.
    tasks: Vec<&'a str>,
    /// The number of the batch's tasks that have ended.
    ended: u32,
    /// The task numbers of the batch's tasks that have not ended.
    waiting: Vec<u64>,
    attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<&'a str>,
    /// For a leased batch, the time in milliseconds until the lease ends. For a delayed batch, the time in milliseconds
    /// until a worker may run the batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_ms: Option<u128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    /// The whole batch, with the tasks' arguments in base64. The value is `None` in a list, and if the stored batch
    /// cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<&'a Batch>,
}

fn list(store: &TaskStore, state: Option<BatchState>, limit: usize, json: bool) -> anyhow::Result<bool> {
    let entries = store.wait(|task_engine| async move { task_engine.list(state, limit).await })?;
    let mut out = io::stdout().lock();
    if !json && !entries.is_empty() {
        writeln!(
            out,
            "{:36}  {:7}  {:>8}  {:12}  {:>5}  {:7}  NEXT TASK",
            "ID", "STATE", "AGE", "COMPONENT", "ENDED", "ATTEMPT"
        )?;
    }
    for entry in &entries {
        if json {
            writeln!(out, "{}", as_json(entry, false)?)?;
            continue;
        }
        let batch = entry.batch().ok();
        let tasks = batch.as_ref().map_or(0, |batch| batch.tasks.len());
        let next = batch.as_ref().and_then(|batch| batch.tasks.get(entry.next as usize));
        writeln!(
            out,
            "{:36}  {:7}  {:>8}  {:12}  {:>5}  {:7}  {}{}{}",
            entry.id,
            entry.state,
            batch.as_ref().map(|batch| age(batch.created)).unwrap_or_default(),
            batch.as_ref().map_or_else(String::new, |batch| harmless(&batch.component)),
            format!("{}/{tasks}", entry.next),
            entry.attempt,
            next.map_or_else(String::new, |task| harmless(&task.name)),
            entry.why.as_ref().map(|why| format!(": {}", one_line(why))).unwrap_or_default(),
            waits(entry).map(|waits| format!(" ({waits})")).unwrap_or_default(),
        )?;
    }
    drop(out);
    if !json {
        let counts = store.wait(|task_engine| async move { task_engine.counts().await })?;
        note(format_args!(
            "{} ready, {} delayed, {} leased, {} dead",
            counts.ready, counts.delayed, counts.leased, counts.dead
        ));
    }
    Ok(true)
}

fn show(store: &TaskStore, id: &str, json: bool) -> anyhow::Result<bool> {
    let wanted = id.to_owned();
    let Some(entry) = store.wait(|task_engine| async move { task_engine.show(&wanted).await })? else {
        note(format_args!("{id} is not stored"));
        return Ok(false);
    };
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", as_json(&entry, true)?)?;
        return Ok(true);
    }
    writeln!(out, "state      {}", entry.state)?;
    if let Some(worker) = &entry.worker {
        writeln!(out, "worker     {}", harmless(worker))?;
    }
    if let Some(left) = entry.left {
        let what = if entry.state == BatchState::Leased { "lease ends" } else { "ready" };
        writeln!(out, "{what:10} in {}", seconds(left))?;
    }
    if let Some(why) = &entry.why {
        writeln!(out, "why        {}", harmless(why))?;
    }
    match entry.batch() {
        Ok(batch) => {
            writeln!(out, "request    {}\ncomponent  {}", harmless(&batch.request_id), harmless(&batch.component))?;
            writeln!(out, "age        {}", age(batch.created))?;
            for (index, task) in batch.tasks.iter().enumerate() {
                let is = match (index as u32).cmp(&entry.next) {
                    std::cmp::Ordering::Less => "ended".to_owned(),
                    std::cmp::Ordering::Equal => format!("attempt {} of {}", entry.attempt, task.max_attempts),
                    std::cmp::Ordering::Greater => "waits".to_owned(),
                };
                let (name, args) = (harmless(&task.name), harmless(&String::from_utf8_lossy(&task.args)));
                let key = harmless(&batch.idempotency_key(task));
                writeln!(out, "task {:<5} {name} {args}  ({is}; key {key})", task.id)?;
            }
        }
        Err(error) => writeln!(out, "{error}\n{}", harmless(&String::from_utf8_lossy(&entry.envelope)))?,
    }
    Ok(true)
}

fn as_json(entry: &Entry, whole: bool) -> anyhow::Result<String> {
    let batch = entry.batch().ok();
    let batch = batch.as_ref();
    Ok(serde_json::to_string(&Row {
        id: &entry.id,
        state: entry.state,
        request: batch.map(|batch| batch.request_id.as_str()),
        component: batch.map(|batch| batch.component.as_str()),
        tasks: batch.iter().flat_map(|batch| &batch.tasks).map(|task| task.name.as_str()).collect(),
        ended: entry.next,
        waiting: batch.iter().flat_map(|batch| &batch.tasks).skip(entry.next as usize).map(|task| task.id).collect(),
        attempt: entry.attempt,
        created: batch.map(|batch| batch.created),
        worker: entry.worker.as_deref(),
        left_ms: entry.left.map(|left| left.as_millis()),
        why: entry.why.as_deref(),
        batch: batch.filter(|_| whole),
    })?)
}

/// Writes a message for the operator to stderr, because stdout is only for the requested data.
fn note(text: std::fmt::Arguments<'_>) {
    _ = writeln!(io::stderr(), "{text}");
}

/// Describes what a batch waits for. For a leased batch, the text names the worker and the time until the lease ends.
/// For a delayed batch, the text says after which time a worker may run the batch.
fn waits(entry: &Entry) -> Option<String> {
    let left = entry.left.map(seconds);
    match (&entry.worker, left) {
        (Some(worker), Some(left)) => Some(format!("leased by {worker} for {left} more")),
        (Some(worker), None) => Some(format!("leased by {worker}")),
        (None, Some(left)) => Some(format!("ready in {left}")),
        (None, None) => None,
    }
}

fn age(created: u64) -> String {
    let created = UNIX_EPOCH + Duration::from_millis(created);
    seconds(SystemTime::now().duration_since(created).unwrap_or_default())
}

fn seconds(time: Duration) -> String {
    match time.as_secs() {
        time @ 0..120 => format!("{time}s"),
        time @ 120..7_200 => format!("{}m", time / 60),
        time @ 7_200..172_800 => format!("{}h", time / 3_600),
        time => format!("{}d", time / 86_400),
    }
}

/// Returns at most the first 80 characters of the first line of a text.
fn one_line(why: &str) -> String {
    harmless(why.lines().next().unwrap_or_default()).chars().take(80).collect()
}

/// Escapes a text that a guest or a client has chosen. The escaped text has no line breaks, and cannot control the
/// terminal.
fn harmless(text: &str) -> String {
    let mut harmless = String::new();
    _ = Escaped(&mut harmless).write_str(text);
    harmless
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_wrote_commands_no_terminal() {
        assert_eq!(harmless("no\u{1b}[2J paper\r\nat all"), r"no\u{1b}[2J paper\r\nat all");
        assert_eq!(one_line("no\u{7} paper\nat all"), r"no\u{7} paper");
    }
}
