//! Clients that misbehave hurt nobody but themselves: each of these tests ends with another client being served.

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
mod malformed;
mod many;
mod pipelined;
mod slow;
mod unread;

/// Another client is served.
fn assert_serves(host: &TestHost) {
    assert_eq!(host.get("/body?size=5").text(), "xxxxx");
}

/// The task ran, and was told that the client had left.
fn assert_client_gone(record: &RequestRecord) {
    assert_eq!(ends(record), ["after succeeded"], "{record:?}");
    assert!(matches!(record.outcome, ResponseOutcome::ClientGone), "{:?}", record.outcome);
}

/// The real executable, whose memory can be looked at.
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

    /// Ends it, and says how many requests its component has served.
    fn requests(self) -> usize {
        self.process.signal("TERM");
        let line = self.process.logged("stopped after ");
        line.split("stopped after ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok()).unwrap()
    }

    /// How much more memory it has had in use since.
    fn growth(&self) -> usize {
        self.process.memory().saturating_sub(self.memory)
    }
}
