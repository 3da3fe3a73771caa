//! The tests of the core again, with each engine as the component's default: the suite runs itself, and a variable moves all tasks
//! to the engine (see `epilogue::testing`).
//!
//! A new test is one of them, also one in a new file. If something else is promised of durable tasks, the test says so in its
//! first line, with `only_in_process!`.

use std::process::{Command, Stdio};

use super::fixture::Fixture;

/// The variable that moves all tasks to an engine.
const ENGINE: &str = "EPILOGUE_TEST_ENGINE";

/// The files that are not about requests and their tasks, or that choose their engine themselves.
const BESIDE: &[&str] = &[
    "answers",
    "binary",
    "broken",
    "compose",
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
    "received",
    "refusals",
    "reload",
    "routes",
    "scratch",
    "stock",
    "system",
    "tidy",
    "tls",
    "variables",
    "watch",
    "wit",
];

/// What is promised of tasks in the process, and something else of durable ones.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Otherwise {
    /// A worker may start a task before the response is out. The task then sees the outcome `delivered` (S2, S8).
    EarlyStart,
    /// The request's scope is torn down behind its response. Its tasks have a scope of their own, in another instance (S9).
    OwnScope,
    /// Closures stay in the process. No order holds between them and durable tasks, and neither fails because of the other (S15).
    ClosuresApart,
    /// What a running task adds is a batch of its own, stored before it is accepted (S5).
    OwnBatch,
    /// What does not end on this host is given back and runs elsewhere: it is not abandoned (S13). A worker's tasks take no place
    /// among the host's drains (S12).
    RunsElsewhere,
    /// The tasks behind one that failed for good wait in the dead letter with it. They are not skipped (S3, S4).
    DeadLetter,
    /// A worker's spans are its own (S16).
    OwnSpan,
    /// There is an engine.
    HasEngine,
    /// NATS takes a batch that fits into its `max_payload`, which is 1 MiB, and so are the largest arguments.
    SmallerOnNats,
}

impl Otherwise {
    /// Whether the tasks of this run are durable, so that the other promise holds.
    pub(crate) fn holds(self) -> bool {
        let engine = std::env::var(ENGINE);
        engine.is_ok_and(|url| self != Self::SmallerOnNats || url.starts_with("nats:"))
    }
}

/// Ends a test at once if the tasks of this run are durable, because of what is promised otherwise then.
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
