//! Runs the tests of the core again, with each engine. The suite starts itself with a variable that makes all tasks
//! durable (see `epilogue::testing`).
//!
//! Each new test takes part, also in a new file. If durable tasks have another promise, the first line of the test says
//! so with `only_in_process!`.

use std::process::{Command, Stdio};

use super::fixture::Fixture;

/// The variable that moves all tasks to an engine.
const ENGINE: &str = "EPILOGUE_TEST_ENGINE";

/// The files that do not test requests and their tasks, or that choose their engine themselves.
const BESIDE: &[&str] = &[
    "answers",
    "binary",
    "broken",
    "chaining",
    "compose",
    "dashboard",
    "downloads",
    "durable",
    "examples",
    "fault",
    "guide",
    "logs",
    "measured",
    "monitor",
    "new",
    "outbound",
    "overload",
    "pipes",
    "plugin",
    "prometheus",
    "received",
    "refusals",
    "reload",
    "reports",
    "routes",
    "scratch",
    "stock",
    "system",
    "telemetry",
    "tidy",
    "tls",
    "variables",
    "watch",
    "wit",
];

/// The promises that differ between tasks in the process and durable tasks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Otherwise {
    /// A worker may start a task before the response is out. The task then sees the outcome `delivered` (S2, S8).
    EarlyStart,
    /// The request's scope is torn down after its response. Its durable tasks have a separate scope, in another
    /// instance (S9).
    OwnScope,
    /// Closures stay in the process. No order holds between them and durable tasks, and neither fails because of the other (S15).
    ClosuresApart,
    /// A task that a running task adds is a separate batch. The host stores it before it accepts it (S5).
    OwnBatch,
    /// A task that does not end on this host is returned to the engine and runs elsewhere. It is not abandoned (S13). A
    /// worker's tasks do not count as drains of the host (S12).
    RunsElsewhere,
    /// The tasks behind one that failed for good wait in the dead letter with it. They are not skipped (S3, S4).
    DeadLetter,
    /// There is an engine.
    HasEngine,
    /// NATS accepts a batch only if it fits into `max_payload`, which is 1 MiB. The largest arguments of a task are as
    /// large as that alone.
    SmallerOnNats,
}

impl Otherwise {
    /// Whether the tasks of this run are durable, so that the other promise holds.
    pub(crate) fn holds(self) -> bool {
        let engine = std::env::var(ENGINE);
        engine.is_ok_and(|url| self != Self::SmallerOnNats || url.starts_with("nats:"))
    }
}

/// Ends a test at once if the tasks of this run are durable, because durable tasks have another promise.
macro_rules! only_in_process {
    ($otherwise:ident) => {
        if $crate::durable::Otherwise::$otherwise.holds() {
            return;
        }
    };
}
pub(crate) use only_in_process;

super::on_each_engine! {
    the_core_s_tests_pass_with_the_engine_as_default,
}

fn the_core_s_tests_pass_with_the_engine_as_default(fixture: &mut Fixture) {
    let listed = suite().arg("--list").output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let names: Vec<_> = listed.lines().filter_map(|line| line.strip_suffix(": test")).collect();
    let is_in = |name: &str, module: &str| name.split_once("::").is_some_and(|(of, _)| of == module);
    for module in BESIDE {
        assert!(names.iter().any(|name| is_in(name, module)), "there is no test in {module}");
    }
    let beside = |name: &str| BESIDE.iter().any(|module| is_in(name, module));
    let core: Vec<_> = names.into_iter().filter(|name| !beside(name)).collect();
    // They wait more than they work.
    let mut again = suite();
    again.args(["--exact", "--test-threads", "8"]).args(&core).env(ENGINE, fixture.url_apart());
    let output = again.output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let passed = format!("test result: ok. {} passed; 0 failed", core.len());
    assert!(String::from_utf8_lossy(&output.stdout).contains(&passed), "{passed}");
}

fn suite() -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.stdin(Stdio::null());
    command
}
