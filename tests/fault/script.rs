//! The random choices: a round's limits, and the guest's work for each request.

use std::fmt;
use std::fs;
use std::sync::LazyLock;

use epilogue::testing::TestHost;
use fastrand::Rng;

use crate::guests;
use crate::process::folder;

/// The component's name, under which the host counts its tasks.
pub(super) const COMPONENT: &str = "fault";

/// The limits of a round's host, and whether the host is stopped during its work. Times are in milliseconds.
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) request_timeout: u64,
    pub(super) task_timeout: u64,
    pub(super) drain_timeout: u64,
    pub(super) teardown_timeout: u64,
    pub(super) send_timeout: u64,
    pub(super) max_tasks: u32,
    pub(super) max_task_args: usize,
    pub(super) max_requests: usize,
    pub(super) max_draining: usize,
    pub(super) max_lag: u64,
    pub(super) reuse: u32,
    pub(super) threads: usize,
    pub(super) on_failure: &'static str,
    /// Turns after which the host is told to stop, and its grace.
    pub(super) cut: Option<(usize, u64)>,
}

/// The guest, as it was at the beginning of the run. If its file is built again during the run, the later rounds still
/// use this one.
static GUEST: LazyLock<Vec<u8>> = LazyLock::new(|| fs::read(guests::FAULT).expect("the guest should be there"));

impl Limits {
    pub(super) fn draw(rng: &mut Rng, turns: usize) -> Self {
        Self {
            request_timeout: pick(rng, &[500, 1000]),
            task_timeout: pick(rng, &[300, 1000]),
            drain_timeout: pick(rng, &[500, 60_000, 60_000, 60_000]),
            teardown_timeout: pick(rng, &[200, 500]),
            send_timeout: pick(rng, &[1000, 60_000]),
            max_tasks: pick(rng, &[3, 1000, 1000]),
            max_task_args: pick(rng, &[32 << 10, 1 << 20]),
            max_requests: pick(rng, &[4, 1000, 1000]),
            max_draining: pick(rng, &[8, 1000, 1000, 1000]),
            max_lag: pick(rng, &[5, 60_000, 60_000]),
            reuse: pick(rng, &[1, 4, 128, 128]),
            threads: pick(rng, &[1, 2]),
            on_failure: pick(rng, &["stop", "continue"]),
            cut: (rng.u8(..6) == 0).then(|| (rng.usize(..turns), pick(rng, &[0, 50, 500]))),
        }
    }

    pub(super) fn start(&self) -> TestHost {
        let app = folder(&format!(
            "spin_manifest_version = 2\n[application]\nname = \"test\"\n\
             [[trigger.http]]\nroute = \"/...\"\ncomponent = \"{COMPONENT}\"\n\
             [component.{COMPONENT}]\nsource = \"guest.wasm\"\n"
        ));
        fs::write(app.path().join("guest.wasm"), &*GUEST).unwrap();
        let time = |milliseconds: u64| format!("{milliseconds}ms");
        TestHost::manifest(app.path().join("spin.toml"))
            .setting("request-timeout", &time(self.request_timeout))
            .setting("task-timeout", &time(self.task_timeout))
            .setting("drain-timeout", &time(self.drain_timeout))
            .setting("teardown-timeout", &time(self.teardown_timeout))
            .setting("send-timeout", &time(self.send_timeout))
            .setting("max-tasks", &self.max_tasks.to_string())
            .setting("max-task-args", &self.max_task_args.to_string())
            .setting("max-requests", &self.max_requests.to_string())
            .setting("max-draining", &self.max_draining.to_string())
            .setting("max-lag", &time(self.max_lag))
            .setting("reuse", &self.reuse.to_string())
            .setting("on-failure", self.on_failure)
            .threads(self.threads)
            .start()
    }

    /// Whether a request may be refused.
    pub(super) fn refuse(&self) -> bool {
        self.max_requests < 1000 || self.max_draining < 1000 || self.max_lag < 1000 || self.cut.is_some()
    }

    /// Whether the time for all tasks of a request may be used up.
    pub(super) fn hurry(&self) -> bool {
        self.drain_timeout < 60_000
    }
}

/// The guest's work for one request. `guests/examples/fault.rs` explains the words.
#[derive(Clone, Debug, Default)]
pub(super) struct Script {
    /// The trace id.
    pub(super) id: String,
    pub(super) run: Vec<String>,
    pub(super) end: &'static str,
    pub(super) body: &'static str,
    pub(super) size: usize,
    pub(super) policy: &'static str,
    pub(super) teardown: &'static str,
    pub(super) spawn: &'static str,
}

const SIZES: [usize; 6] = [0, 32, 1000, 20_000, 70_000, 400_000];

impl Script {
    pub(super) fn draw(rng: &mut Rng, limits: &Limits) -> Self {
        let steps = rng.usize(..7);
        let spawns: &[_] =
            if limits.hurry() { &["slow", "add", "panic", "endless"] } else { &["slow", "add", "panic"] };
        Self {
            id: format!("{:032x}", rng.u128(1..)),
            run: (0..steps).map(|_| step(rng)).collect(),
            end: seldom(rng, 12, &["error", "panic", "hang", "spin"]),
            body: pick(rng, &["", "", "", "", "stream", "stream", "stream", "broken", "trap"]),
            size: pick(rng, &SIZES),
            policy: pick(rng, &["", "", "stop", "continue"]),
            teardown: pick(rng, &["", "", "", "ok", "ok", "ok", "ok", "add", "fail", "panic", "hang"]),
            spawn: seldom(rng, 8, spawns),
        }
    }

    /// This script with a body that comes at once. Clients that read several responses from one connection need that.
    pub(super) fn whole(self) -> Self {
        Self { body: "", ..self }
    }

    /// This script with the request's body as the response's. The handler reads all of it, because otherwise the client might not
    /// see the response.
    pub(super) fn echo(self) -> Self {
        Self { body: "echo", end: "", spawn: "", ..self }
    }

    /// This script with a body that has no end.
    pub(super) fn endless(self) -> Self {
        Self { body: "endless", end: "", ..self }
    }

    pub(super) fn path(&self) -> String {
        let Self { id, run, end, body, size, policy, teardown, spawn } = self;
        let mut path = format!("/?id={id}&run={}&size={size}", run.join(","));
        let words = [("end", end), ("body", body), ("policy", policy), ("teardown", teardown), ("spawn", spawn)];
        for (name, word) in words.into_iter().filter(|(_, word)| !word.is_empty()) {
            path.push_str(&format!("&{name}={word}"));
        }
        path
    }

    /// The whole body of this request's response.
    pub(super) fn content(&self) -> Vec<u8> {
        self.id.bytes().cycle().take(self.size).collect()
    }

    pub(super) fn traceparent(&self) -> String {
        format!("00-{}-b7ad6b7169203331-01", self.id)
    }

    /// The faults that this script asks for, for the figures.
    pub(super) fn faults(&self) -> impl Iterator<Item = String> {
        let steps = self.run.iter().map(|step| kind(step)).filter(|kind| !ORDINARY.contains(kind));
        let words = [("handler", self.end), ("body", self.body), ("teardown", self.teardown), ("spawned", self.spawn)];
        let words = words.into_iter().filter(|(_, word)| !["", "ok", "stream", "echo", "slow", "add"].contains(word));
        steps.map(|kind| format!("task {kind}")).chain(words.map(|(what, word)| format!("{what} {word}")))
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

const ORDINARY: [&str; 5] = ["ok", "pause", "closure", "large", "nested"];

/// A task's kind, before the letters of its options.
pub(super) fn kind(step: &str) -> &str {
    step.split('-').next().unwrap_or_default()
}

fn step(rng: &mut Rng) -> String {
    let kind = match rng.u8(..32) {
        0..12 => "ok",
        12..16 => "pause",
        16..19 => "closure",
        19..21 => "nested",
        21 => "large",
        22..25 => "fail",
        25 => "panic",
        26 => "flaky",
        27 => "shaky",
        28 => "sleep",
        29 => "block",
        30 => "hoard",
        _ => "spin",
    };
    let mut letters = String::new();
    for (letter, one_in) in [('a', 3), ('f', 12), ('d', 12), ('c', 16)] {
        if rng.u8(..one_in) == 0 && !(letter == 'f' && letters.contains('a')) {
            letters.push(letter);
        }
    }
    if matches!(kind, "sleep" | "block" | "spin") && rng.bool() {
        letters.push('t');
    }
    if matches!(kind, "flaky" | "shaky") || (matches!(kind, "fail" | "panic" | "spin") && rng.u8(..8) == 0) {
        letters.push('r');
    }
    if letters.is_empty() { kind.to_owned() } else { format!("{kind}-{letters}") }
}

pub(super) fn pick<T: Copy>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.usize(..choices.len())]
}

/// Draws one of the words once in `one_in` times, else the empty one.
fn seldom(rng: &mut Rng, one_in: u8, words: &[&'static str]) -> &'static str {
    if rng.u8(..one_in) == 0 { pick(rng, words) } else { "" }
}
