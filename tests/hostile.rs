//! Guests that misbehave harm only their own request (S10, S11, S14). `outbound.rs` and `system.rs` test what guests
//! cannot reach outside of their instance. `order.rs` tests a task that adds itself forever.

use std::process::Command;

use epilogue::testing::{RequestRecord, TestHost, TestHostBuilder};
use tempfile::TempDir;

use crate::guests;
use crate::process::application;
use crate::support::ends;

mod body;
mod handler;
mod leaks;
mod memory;
mod neighbors;
mod print;
mod room;
mod tasks;
mod teardown;
mod texts;

/// The ways in which the guest traps.
const TRAPS: [&str; 4] = ["panic", "recurse", "grow", "collect"];
/// The ways in which the guest does not end.
const STUCK: [&str; 4] = ["wait", "block", "spin", "read"];

/// A host whose guest misbehaves. One of the guest's files is a pipe to which no process writes.
struct Hostile {
    host: TestHost,
    _app: TempDir,
}

impl Hostile {
    /// Starts a host with little time for what `setting` limits.
    fn start(setting: &str) -> Self {
        Self::with(|host| host.setting(setting, "500ms"))
    }

    fn with(set: impl FnOnce(TestHostBuilder) -> TestHostBuilder) -> Self {
        let app = application(guests::HOSTILE, "files = [{ source = \"pipes\", destination = \"/pipes\" }]");
        let pipes = app.path().join("pipes");
        std::fs::create_dir(&pipes).unwrap();
        assert!(Command::new("mkfifo").arg(pipes.join("pipe")).status().unwrap().success());
        // On one thread, where all are in each other's way.
        let host = set(TestHost::manifest(app.path().join("spin.toml")).threads(1)).start();
        Self { host, _app: app }
    }

    /// Has the guest do something, and returns the record once the request has ended and the next has been served.
    fn misbehave(&self, what: &str, place: &str) -> RequestRecord {
        let record = self.host.get(&format!("/?do={what}&at={place}")).drained();
        let next = self.host.get("/?do=nothing&at=handler");
        assert_eq!(next.text(), "done");
        assert_eq!(ends(&next.drained()), ["after succeeded"]);
        record
    }
}
