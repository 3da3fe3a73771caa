//! An application with durable tasks, and an empty engine.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use http::{Request, StatusCode};
use http_body_util::Empty;
use tempfile::TempDir;

use super::servers::Server;
use crate::client::{Protocol, exchange};
use crate::guests;
use crate::process::{Ended, Process, application, epilogue, up};

const LOCK: &str = "import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute('BEGIN IMMEDIATE')
print('locked', flush=True)
sys.stdin.read()";

/// Further lines of the component's table in the manifest.
const MORE: &str = "allowed_outbound_hosts = [\"http://127.0.0.1:*\"]\n";

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Redis,
    Nats,
}

pub(crate) struct Fixture {
    pub(crate) app: TempDir,
    pub(crate) url: String,
    /// The `visibility-timeout`, which is longer than any test. A test about the end of a lease sets a shorter one. A busy machine
    /// might not extend a short lease in time.
    pub(crate) visibility: &'static str,
    /// How long a task waits after its first failed attempt, on the host that enqueues it.
    pub(crate) backoff: &'static str,
    server: Option<Server>,
    /// The process that holds a lock on SQLite's file.
    lock: Option<Child>,
}

impl Fixture {
    pub(crate) fn new(kind: Kind) -> Self {
        let app = application(guests::DURABLE, MORE);
        let server = match kind {
            Kind::Sqlite => None,
            Kind::Redis => Some(Server::redis()),
            Kind::Nats => Some(Server::nats()),
        };
        let file = || format!("sqlite:{}?synchronous=normal", app.path().join("tasks.db").display());
        Self {
            url: server.as_ref().map_or_else(file, Server::url),
            visibility: "10m",
            backoff: "1ms",
            server,
            lock: None,
            app,
        }
    }

    /// The URL of several stores in the engine, with `{}` for a store's number.
    pub(crate) fn url_apart(&self) -> String {
        let file = || format!("sqlite:{}-{{}}.db?synchronous=normal", self.app.path().join("tasks").display());
        self.server.as_ref().map_or_else(file, Server::url_apart)
    }

    /// Makes the engine unavailable: kills the server, or locks SQLite's file.
    pub(crate) fn pause(&mut self) {
        if let Some(server) = &mut self.server {
            return server.kill();
        }
        let mut python = Command::new("python3");
        python.args(["-c", LOCK]).arg(self.app.path().join("tasks.db")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = python.spawn().expect("python3 should be there");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "locked\n");
        self.lock = Some(child);
    }

    /// Makes the engine available again: restarts the server, or unlocks SQLite's file.
    pub(crate) fn resume(&mut self) {
        if let Some(server) = &mut self.server {
            return server.restart();
        }
        if let Some(mut child) = self.lock.take() {
            drop(child.stdin.take());
            child.wait().unwrap();
        }
    }

    /// Starts a host that serves.
    pub(crate) fn host<'a>(&'a self, arguments: impl IntoIterator<Item = &'a str>) -> Process {
        let mut command = self.host_command();
        command.args(arguments);
        Process::start(command)
    }

    pub(crate) fn host_command(&self) -> Command {
        let mut command = up(self.app.path(), ["--engine", &self.url, "--visibility-timeout", self.visibility]);
        command.args(["--durable-backoff", self.backoff]);
        command
    }

    /// Starts a worker, and waits until it runs tasks.
    pub(crate) fn worker<'a>(&'a self, arguments: impl IntoIterator<Item = &'a str>) -> Process {
        let worker = Process::start(self.worker_command(arguments));
        worker.logged("durable tasks are run here, by");
        worker
    }

    pub(crate) fn worker_command<'a>(&'a self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = self.worker_of(self.app.path());
        command.args(arguments);
        command
    }

    /// Describes a worker of the application in another folder.
    pub(crate) fn worker_of(&self, folder: &Path) -> Command {
        let mut command = epilogue(["worker", "--engine", &self.url, "--visibility-timeout", self.visibility]);
        command.arg("--from").arg(folder);
        command
    }

    /// Gives the application another version. Its tasks print the version after their name.
    pub(crate) fn change_to(&self, version: &str) {
        let other = application(guests::DURABLE, &format!("{MORE}environment = {{ VERSION = {version:?} }}"));
        fs::rename(other.path().join("spin.toml"), self.app.path().join("spin.toml")).unwrap();
    }

    /// Runs `epilogue tasks` with these arguments, and waits for its end.
    pub(crate) fn tasks<'a>(&'a self, arguments: impl IntoIterator<Item = &'a str>) -> Ended {
        let mut command = epilogue(["tasks", "--engine", &self.url]);
        command.args(arguments);
        Process::start(command).ended()
    }

    /// The IDs of the batches that are stored in this state.
    pub(crate) fn stored(&self, state: &str) -> Vec<String> {
        let rows = self.listed(["--state", state]).into_iter();
        rows.map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until only dead batches are stored. It lists all batches at once, so that none changes its state between two lists and
    /// is in neither.
    pub(crate) fn wait_until_done(&self) {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
        loop {
            let left: Vec<_> =
                self.listed(["--limit", "100000"]).into_iter().filter(|row| row["state"] != "dead").collect();
            if left.is_empty() {
                break;
            }
            assert!(std::time::Instant::now() < end, "what is stored should end: {left:?}");
        }
    }

    /// The stored batches, as `epilogue tasks list --json` shows them with these arguments.
    pub(crate) fn listed<'a>(&'a self, arguments: impl IntoIterator<Item = &'a str>) -> Vec<serde_json::Value> {
        let listed = self.tasks(["list", "--json"].into_iter().chain(arguments));
        assert_eq!(listed.code, Some(0), "{:?}", listed.stderr);
        listed.stdout.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Sets a flag when it is dropped, so also if the test fails.
pub(crate) struct Set<'a>(pub(crate) &'a AtomicBool);

impl Drop for Set<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Sends a request to a host of an application with durable tasks. Returns the response's status and text.
pub(crate) fn ask(address: SocketAddr, query: &str) -> (StatusCode, String) {
    let request = Request::get(format!("/?{query}")).body(Empty::new()).unwrap();
    let response = exchange(address, Protocol::Http1, request);
    let status = response.status();
    (status, String::from_utf8(response.into_body().to_bytes().into()).unwrap())
}

/// The words of a line that a task prints: its name, attempt, request, and idempotency key.
pub(crate) fn words(line: &str) -> [&str; 4] {
    let words: Vec<_> = line.split(' ').collect();
    words.try_into().unwrap_or_else(|_| panic!("{line:?} should be a task's line"))
}

/// The numbers of a request's tasks, in the order of their first runs. A task may have run again, but no task ran
/// before the previous task had run.
pub(crate) fn in_order(ran: Vec<u64>) -> Vec<u64> {
    let mut first = Vec::new();
    ran.into_iter().for_each(|id| _ = (!first.contains(&id)).then(|| first.push(id)));
    first
}
