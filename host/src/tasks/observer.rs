//! Counts how requests and tasks ended, for the exit code and for tests.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::Sender;

use crate::process::shutdown::ABANDONED;
use crate::tasks::backlog::Backlog;
use crate::tasks::ids::RequestIds;
use crate::tasks::readers::Readers;
use crate::tasks::record::{RequestRecord, TaskState};

/// The numbers of requests and tasks that a process logs at its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// The number of requests that a component served.
    pub requests: u64,
    /// The number of tasks that ended in this process, in any state.
    pub tasks: u64,
    /// How many of these `tasks` the host has abandoned, for any reason.
    pub abandoned: u64,
    /// How many of these `abandoned` tasks the host has abandoned at the end of the grace period or after a second
    /// signal.
    pub abandoned_at_stop: u64,
}

impl Summary {
    /// Adds the numbers of tasks from `workers` to this summary. `workers` is the summary of the durable tasks that
    /// this process has run.
    pub(crate) fn with_tasks_of(self, workers: Self) -> Self {
        Self {
            requests: self.requests,
            tasks: self.tasks + workers.tasks,
            abandoned: self.abandoned + workers.abandoned,
            abandoned_at_stop: self.abandoned_at_stop + workers.abandoned_at_stop,
        }
    }

    /// Returns the exit code of a process that ends after a signal. The exit code shows whether the shutdown has
    /// abandoned any tasks.
    pub(crate) fn exit_code(self) -> ExitCode {
        if self.abandoned_at_stop > 0 { ExitCode::from(ABANDONED) } else { ExitCode::SUCCESS }
    }
}

/// Counts each request that has ended. If a test has asked for records, also sends the request's record to the test.
#[derive(Clone, Default)]
pub(crate) struct Observer {
    counts: Arc<Counts>,
    backlog: Backlog,
    /// The number of durable tasks that are running in this process.
    durable: Arc<AtomicUsize>,
    /// The number of batches that are running in this process.
    batches: Arc<AtomicUsize>,
    records: Option<Sender<RequestRecord>>,
    /// The readers of the timelines of requests and batches.
    pub(crate) readers: Readers,
}

#[derive(Default)]
struct Counts {
    requests: AtomicU64,
    tasks: AtomicU64,
    abandoned: AtomicU64,
    abandoned_at_stop: AtomicU64,
}

impl Observer {
    /// Makes an observer. The host records the timelines of requests and batches for `readers`.
    pub(crate) fn with_readers(readers: Readers) -> Self {
        Self { readers, ..Self::default() }
    }

    /// From now on, when a request ends, sends the request's record to `records`.
    pub(crate) fn observe(&mut self, records: Sender<RequestRecord>) {
        self.records = Some(records);
    }

    pub(crate) fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    /// Counts a running batch until the returned value is dropped.
    pub(crate) fn batch(&self) -> Counted {
        Counted::new(&self.batches)
    }

    /// Counts a running durable task until the returned value is dropped.
    pub(crate) fn durable_task(&self) -> Counted {
        Counted::new(&self.durable)
    }

    /// Returns the number of batches that are running in this process.
    pub(crate) fn batches(&self) -> usize {
        self.batches.load(Relaxed)
    }

    /// Returns the number of durable tasks that are running in this process.
    pub(crate) fn durable_tasks(&self) -> usize {
        self.durable.load(Relaxed)
    }

    /// Counts a task that the host has abandoned at the end of the shutdown's grace period or after a second signal.
    pub(crate) fn abandoned_at_stop(&self) {
        self.counts.abandoned_at_stop.fetch_add(1, Relaxed);
    }

    /// Counts and logs a request that has ended, and sends the request's record.
    pub(crate) fn ended(&self, record: &RequestRecord) {
        let ended = record.tasks.iter().filter(|task| !task.dead);
        let abandoned = ended.clone().filter(|task| task.state == TaskState::Abandoned).count();
        self.counts.requests.fetch_add(1, Relaxed);
        self.counts.tasks.fetch_add(ended.count() as u64, Relaxed);
        self.counts.abandoned.fetch_add(abandoned as u64, Relaxed);
        if let Some(records) = &self.records {
            _ = records.send(record.clone());
        }
        let RequestIds { request, trace_id } = record.ids();
        tracing::debug!(
            target: "epilogue::request",
            request,
            component = record.component,
            tasks = record.tasks.len(),
            stored = record.stored.len(),
            trace_id,
            "the request and its tasks have ended"
        );
    }

    pub(crate) fn summary(&self) -> Summary {
        Summary {
            requests: self.counts.requests.load(Relaxed),
            tasks: self.counts.tasks.load(Relaxed),
            abandoned: self.counts.abandoned.load(Relaxed),
            abandoned_at_stop: self.counts.abandoned_at_stop.load(Relaxed),
        }
    }
}

/// Counts one batch or one durable task until this value is dropped.
pub(crate) struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
