//! What became of all requests and tasks, for the exit code and for tests, and what is left of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::Sender;

use crate::record::{RequestRecord, TaskState};

/// What a server did in its life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Requests that a component served.
    pub requests: u64,
    /// Tasks that ended here, in any state.
    pub tasks: u64,
    /// Those of them that were abandoned.
    pub abandoned: u64,
}

impl Summary {
    /// With the tasks of workers beside the server.
    pub(crate) fn with_tasks_of(self, workers: Self) -> Self {
        Self { tasks: self.tasks + workers.tasks, abandoned: self.abandoned + workers.abandoned, ..self }
    }
}

/// Counts requests as they end, and hands their records to who asked for them.
#[derive(Clone, Default)]
pub(crate) struct Observer {
    counts: Arc<Counts>,
    backlog: Backlog,
    records: Option<Sender<RequestRecord>>,
}

/// How many tasks of a host are accepted and have not ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Backlog(Arc<AtomicUsize>);

impl Backlog {
    pub(crate) fn accepted(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub(crate) fn ended(&self) {
        self.0.fetch_sub(1, Relaxed);
    }

    pub(crate) fn tasks(&self) -> usize {
        self.0.load(Relaxed)
    }
}

#[derive(Default)]
struct Counts {
    requests: AtomicU64,
    tasks: AtomicU64,
    abandoned: AtomicU64,
}

impl Observer {
    /// Hands the records to `records` from now on.
    pub(crate) fn observe(&mut self, records: Sender<RequestRecord>) {
        self.records = Some(records);
    }

    pub(crate) fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    /// A request has ended, with its teardown.
    pub(crate) fn ended(&self, record: &RequestRecord) {
        let abandoned = record.tasks.iter().filter(|task| task.state == TaskState::Abandoned).count();
        self.counts.requests.fetch_add(1, Relaxed);
        self.counts.tasks.fetch_add(record.tasks.len() as u64, Relaxed);
        self.counts.abandoned.fetch_add(abandoned as u64, Relaxed);
        if let Some(records) = &self.records {
            _ = records.send(record.clone());
        }
    }

    pub(crate) fn summary(&self) -> Summary {
        Summary {
            requests: self.counts.requests.load(Relaxed),
            tasks: self.counts.tasks.load(Relaxed),
            abandoned: self.counts.abandoned.load(Relaxed),
        }
    }
}
