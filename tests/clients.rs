//! Clients that misbehave harm only themselves. At the end of each of these tests, the host serves another client.

use epilogue::testing::{RequestRecord, ResponseOutcome, TestHost};
use tempfile::TempDir;

use crate::client::get;
use crate::guests;
use crate::process::{Process, application, up};
use crate::support::ends;

mod abrupt;
mod early;
mod frames;
mod garbage;
mod http2;
mod idle;
mod large;
mod left;
mod malformed;
mod many;
mod pipelined;
mod slow;
mod unread;

/// Checks that the host serves another client.
fn assert_serves(host: &TestHost) {
    assert_eq!(host.get("/body?size=5").text(), "xxxxx");
}

/// Checks that the task ran, and that its outcome says that the client left.
fn assert_client_gone(record: &RequestRecord) {
    assert_eq!(ends(record), ["after succeeded"], "{record:?}");
    assert!(matches!(record.outcome, ResponseOutcome::ClientGone), "{:?}", record.outcome);
}

/// A host in a separate process. The test reads the memory of this process.
struct Attacked {
    _app: TempDir,
    process: Process,
    /// The most memory that it had in use until its first request had ended.
    memory: usize,
}

impl Attacked {
    fn start<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Self {
        let app = application(guests::HELLO, "");
        let process = Process::start(up(app.path(), arguments));
        let mut attacked = Self { _app: app, process, memory: 0 };
        attacked.assert_serves();
        attacked.memory = attacked.process.memory();
        attacked
    }

    fn assert_serves(&self) {
        assert_eq!(get(self.process.address(), "/"), "Hello, world!");
    }

    /// Ends the host, and returns how many requests its component has served.
    fn requests(self) -> usize {
        self.process.signal("TERM");
        let line = self.process.logged("stopped after ");
        line.split("stopped after ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok()).unwrap()
    }

    /// How many more bytes the host has had in use since its first request ended.
    fn growth(&self) -> usize {
        self.process.memory().saturating_sub(self.memory)
    }
}
