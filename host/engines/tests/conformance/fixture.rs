//! An engine with an empty store for each test, and helper functions for the tests.

use std::sync::Arc;
use std::time::Duration;

use epilogue_engines::{Batch, Lease, Options, Task, TaskEngine, connect};
use tempfile::TempDir;

use crate::servers::Server;

/// A time that is longer than any step of a test takes.
pub(crate) const LONG: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    Sqlite,
    Redis,
    Nats,
}

pub(crate) struct Fixture {
    pub(crate) engine: Arc<dyn TaskEngine>,
    pub(crate) url: String,
    pub(crate) options: Options,
    pub(crate) server: Option<Server>,
    _folder: TempDir,
}

impl Fixture {
    /// Makes an engine of this kind whose leases last longer than a test.
    pub(crate) fn new(kind: Kind) -> Self {
        Self::with(kind, Options { visibility: LONG, ..Options::default() })
    }

    /// Makes an engine of this kind whose leases end after `visibility`.
    pub(crate) fn visible_after(kind: Kind, visibility: Duration) -> Self {
        Self::with(kind, Options { visibility, ..Options::default() })
    }

    pub(crate) fn with(kind: Kind, options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = match kind {
            Kind::Memory | Kind::Sqlite => None,
            Kind::Redis => Some(Server::redis()),
            Kind::Nats => Some(Server::nats()),
        };
        let url = match (&server, kind) {
            (Some(server), _) => server.url(),
            (None, Kind::Memory) => "memory:".to_owned(),
            (None, _) => format!("sqlite:{}?synchronous=normal", folder.path().join("tasks.db").display()),
        };
        let engine = connect(&url, options.clone()).unwrap();
        Self { engine, url, options, server, _folder: folder }
    }

    /// Connects to the same store again, as another process does. For the engine in memory, returns the same engine.
    pub(crate) fn another(&self) -> Arc<dyn TaskEngine> {
        match self.url.as_str() {
            "memory:" => self.engine.clone(),
            url => connect(url, self.options.clone()).unwrap(),
        }
    }

    /// Leases a batch, if a batch is ready now.
    pub(crate) async fn lease(&self, worker: &str) -> Option<Lease> {
        self.engine.lease(worker, Duration::ZERO).await.unwrap()
    }

    /// Waits until a batch is ready, and leases it.
    pub(crate) async fn wait(&self, worker: &str) -> Lease {
        self.engine.lease(worker, LONG).await.unwrap().expect("nothing became ready")
    }
}

/// Makes a batch of tasks with these names. A worker may try each task three times.
pub(crate) fn batch(names: &[&str]) -> Batch {
    let task = |(id, name): (usize, &&str)| Task {
        id: id as u64 + 1,
        layer: None,
        name: (*name).to_owned(),
        args: vec![0, 159, 146, 150],
        max_attempts: 3,
        timeout: Some(Duration::from_secs(2)),
        backoff: None,
    };
    let tasks = names.iter().enumerate().map(task).collect();
    Batch { traceparent: Some("00-1-2-01".to_owned()), ..Batch::new("shop", "request-1", tasks) }
}
