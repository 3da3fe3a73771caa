//! Overload: clients send three times as many requests as the host can serve (S11, S12).
//!
//! `cargo test` does so for a few seconds, and checks what does not depend on the machine's speed. To run it for longer, and to
//! check the latencies too:
//!
//! ```sh
//! EPILOGUE_OVERLOAD_SECONDS=60 cargo test --test e2e overload::run -- --ignored --nocapture
//! ```
//!
//! `EPILOGUE_OVERLOAD_MAX_LAG` sets another `max-lag`, or `none`; latencies then are for you to judge.

mod client;

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use self::client::{Answer, Client};
use crate::client::get;
use crate::guests;
use crate::monitor::address;
use crate::process::{Process, application, retry, up};

/// How many times more requests the clients send than the host can serve.
const TIMES: f64 = 3.0;
/// How many clients at once keep the host busy without overloading it.
const BUSY: usize = 48;
/// By how many bytes the host's memory may grow.
const ROOM: usize = 256 << 20;
/// The `max-lag` of the host.
const MAX_LAG: &str = "10ms";
/// By which factor an admitted request may take longer under load, and how soon after the load it takes no longer.
const SLOWER: u32 = 5;
const RECOVERY: Duration = Duration::from_secs(2);
/// How many requests in a row must be as quick as before, to show that the host has recovered.
const IN_A_ROW: usize = 10;
/// How long the test waits for the recovery.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn s12_three_times_too_much_loses_nothing() {
    offer(Duration::from_secs(3), 20, MAX_LAG).check();
}

#[test]
#[ignore = "takes as long as EPILOGUE_OVERLOAD_SECONDS says, and is to have the machine to itself"]
fn run() {
    let seconds =
        std::env::var("EPILOGUE_OVERLOAD_SECONDS").ok().map(|text| text.parse().expect("it should be a number"));
    let max_lag = std::env::var("EPILOGUE_OVERLOAD_MAX_LAG");
    let overload = offer(Duration::from_secs(seconds.unwrap_or(60)), 500, max_lag.as_deref().unwrap_or(MAX_LAG));
    println!("{overload}");
    overload.check();
    if max_lag.is_ok() {
        return;
    }
    let limit = overload.idle.at(99) * SLOWER;
    assert!(overload.served.at(99) <= limit, "an admitted request should take at most {limit:?}");
    assert!(overload.recovered <= RECOVERY, "the host should have recovered within {RECOVERY:?}");
}

/// The figures of one run.
struct Overload {
    idle: Latencies,
    /// Requests a second that the host can do, with their tasks.
    sustainable: f64,
    time: Duration,
    answers: Vec<Answer>,
    served: Latencies,
    refused: Latencies,
    /// The time from the load's end until requests were as quick as before and the last task had ended.
    recovered: Duration,
    settled: Duration,
    /// Requests of the host's whole life that were answered 200, and tasks that succeeded.
    accepted: usize,
    succeeded: u64,
    /// The most memory in use before, halfway, and at the end.
    memory: [usize; 3],
    tasks: String,
}

/// Offers the load for so long, after so many requests one by one.
fn offer(time: Duration, idle: usize, max_lag: &str) -> Overload {
    let app = application(guests::LOAD, "");
    let bound = ["--max-lag", max_lag].into_iter().filter(|_| max_lag != "none");
    let told = ["--metrics-listen", "127.0.0.1:0", "--log", "info,epilogue::task=off"];
    let host = Process::start(up(app.path(), bound.chain(told)));
    let metrics = address(&host);
    let tasks = || get(metrics, "/metrics");
    let settle = |accepted| retry(|| Some(tasks()).filter(|tasks| succeeded(tasks) >= 2 * accepted as u64));
    let client = Client::new(host.address());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();

    // The first of all are slower.
    let mut earlier = runtime.block_on(client.in_turn(BUSY));
    let alone = runtime.block_on(client.in_turn(idle));
    earlier.extend(&alone);
    let start = Instant::now();
    let busy = runtime.block_on(client.at_once(BUSY, time.min(Duration::from_secs(10))));
    settle(served(&earlier) + served(&busy));
    let sustainable = served(&busy) as f64 / start.elapsed().as_secs_f64();
    earlier.extend(&busy);

    let before = host.memory();
    let idle = Latencies::of(&alone, 200);
    let quick = idle.at(99) * SLOWER;
    let mut halfway = 0;
    let recover = async |client: &Client| {
        let (end, mut start, mut row, mut all) = (Instant::now(), Duration::ZERO, 0, Vec::new());
        while row < IN_A_ROW && end.elapsed() < PATIENCE {
            if row == 0 {
                start = end.elapsed();
            }
            let answer = client.in_turn(1).await[0];
            row = if answer.status == 200 && answer.took <= quick { row + 1 } else { 0 };
            all.push(answer);
        }
        (end, if row < IN_A_ROW { PATIENCE } else { start }, all)
    };
    let load = client.at_a_rate(TIMES * sustainable, time, || halfway = host.memory(), recover);
    let (answers, (end, recovered, after)) = runtime.block_on(load);
    let accepted = served(&earlier) + served(&answers) + served(&after);
    let tasks = settle(accepted);
    Overload {
        idle,
        sustainable,
        time,
        served: Latencies::of(&answers, 200),
        refused: Latencies::of(&answers, 503),
        answers,
        recovered,
        settled: end.elapsed(),
        accepted,
        succeeded: succeeded(&tasks),
        memory: [before, halfway, host.memory()],
        tasks: tasks.lines().filter(|line| line.starts_with("epilogue_tasks_total")).collect(),
    }
}

fn served(answers: &[Answer]) -> usize {
    answers.iter().filter(|answer| answer.status == 200).count()
}

fn succeeded(metrics: &str) -> u64 {
    let line = metrics.lines().find(|line| line.starts_with("epilogue_tasks_total") && line.contains("\"succeeded\""));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
}

impl Overload {
    /// Checks the promises that hold even on a busy machine.
    fn check(&self) {
        let odd =
            self.answers.iter().find(|answer| !(answer.status == 200 || answer.status == 503 && answer.retry_after));
        assert!(odd.is_none(), "who is not served should be asked to come again, but for {odd:?}\n{self}");
        assert_eq!(self.succeeded, 2 * self.accepted as u64, "each accepted task should have run once\n{self}");
        assert_eq!(self.tasks.matches("epilogue_tasks_total").count(), 1, "no task should end otherwise\n{self}");
        assert!(self.recovered < PATIENCE, "requests should be as quick again\n{self}");
        let [before, _, after] = self.memory;
        assert!(after < before + ROOM, "memory should be bounded\n{self}");
    }
}

impl fmt::Display for Overload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (offered, seconds) = (self.answers.len(), self.time.as_secs_f64());
        let [before, halfway, after] = self.memory.map(|bytes| bytes >> 20);
        writeln!(f, "idle: {}", self.idle)?;
        writeln!(f, "sustainable: {:.0} requests/s with two tasks each", self.sustainable)?;
        writeln!(f, "offered: {offered}, {:.0} a second for {seconds} s", offered as f64 / seconds)?;
        writeln!(
            f,
            "served: {}, {:.0} a second: {}",
            self.served.0.len(),
            self.served.0.len() as f64 / seconds,
            self.served
        )?;
        writeln!(f, "refused: {}: {}", self.refused.0.len(), self.refused)?;
        writeln!(f, "p99 beside idle: {:.1} times", self.served.at(99).as_secs_f64() / self.idle.at(99).as_secs_f64())?;
        writeln!(
            f,
            "recovered {:?} after the load's end, the last task ended after {:?}",
            self.recovered, self.settled
        )?;
        writeln!(f, "tasks accepted: {}, succeeded: {}; {}", 2 * self.accepted, self.succeeded, self.tasks)?;
        write!(f, "memory: {before} MiB before, at most {halfway} in the first half, {after} in all")
    }
}

/// The times of requests, the shortest first.
struct Latencies(Vec<Duration>);

impl Latencies {
    fn of(answers: &[Answer], status: u16) -> Self {
        let mut latencies: Vec<_> =
            answers.iter().filter(|answer| answer.status == status).map(|answer| answer.took).collect();
        latencies.sort_unstable();
        Self(latencies)
    }

    /// The time within which `percent` of a hundred requests ended.
    fn at(&self, percent: usize) -> Duration {
        self.0.get(self.0.len() * percent / 100).copied().unwrap_or_default()
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [half, most, max] = [50, 99, 100].map(|percent| match percent {
            100 => self.0.last().copied().unwrap_or_default(),
            _ => self.at(percent),
        });
        write!(f, "p50 {half:.1?}, p99 {most:.1?}, at most {max:.1?}")
    }
}
