//! The books of durable tasks. Each stored task either waits or has one final event, whatever workers and operators do
//! (S3).
//!
//! `accepted = Σ final + waiting`. A task counts as waiting if it has not ended and `epilogue tasks list` shows its
//! batch.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use http::StatusCode;

use super::fixture::{Fixture, ask};
use crate::process::{Ended, Process, retry};
use crate::upstream::Upstream;

super::on_each_engine! {
    s3_the_books_balance_whatever_an_operator_does,
    s3_the_books_balance_while_operators_retry_and_drop_at_random,
    s3_a_killed_worker_takes_at_most_the_events_of_what_it_ran,
}

const FINAL: [&str; 9] =
    ["succeeded", "failed", "trapped", "timed-out", "skipped", "discarded", "cancelled", "abandoned", "dropped"];

/// All processes of a test, and the logs of those that have ended.
struct Books<'a> {
    fixture: &'a Fixture,
    running: Vec<Process>,
    ended: Vec<String>,
}

/// How many events of each state were logged.
type States = BTreeMap<String, usize>;

impl<'a> Books<'a> {
    /// Starts the books of a host that serves and runs no tasks.
    fn open(fixture: &'a Fixture) -> Self {
        Self { fixture, running: vec![fixture.host([])], ended: Vec::new() }
    }

    fn ask(&self, query: &str) {
        assert_eq!(ask(self.running[0].address(), query).0, StatusCode::OK);
    }

    fn worker(&mut self) -> &Process {
        self.running.push(self.fixture.worker(["--concurrency", "4"]));
        self.running.last().unwrap()
    }

    /// Runs `epilogue tasks` with these arguments. What it logs belongs to the books.
    fn tasks(&mut self, arguments: &[&str]) -> Ended {
        let ended = self.fixture.tasks(arguments.iter().copied());
        self.ended.extend(ended.stderr.iter().cloned());
        ended
    }

    /// Ends the worker that started last, with this signal.
    fn end_worker(&mut self, signal: &str) -> Ended {
        let worker = self.running.pop().unwrap();
        worker.signal(signal);
        let ended = worker.ended();
        self.ended.extend(ended.stderr.iter().cloned());
        ended
    }

    /// The events so far: how many of each state, by request.
    fn told(&self) -> BTreeMap<String, States> {
        let mut told = BTreeMap::<String, States>::new();
        let running = self.running.iter().flat_map(Process::logged_so_far);
        for line in self.ended.iter().cloned().chain(running).filter(|line| line.contains("epilogue::task: ")) {
            let field = |name: &str| Some(line.split_once(&format!(" {name}=\""))?.1.split('"').next()?.to_owned());
            let state = match field("state") {
                Some(state) => state,
                None if line.contains("epilogue::task: stored ") => "stored".to_owned(),
                None => {
                    assert!(line.contains(" will be retried ") && line.contains(" retry_in=\""), "{line:?}");
                    continue;
                }
            };
            *told.entry(field("request").unwrap()).or_default().entry(state).or_default() += 1;
        }
        told
    }

    /// The tasks that have not ended, by request. Each counts once, although its batch may be in two places for a
    /// moment.
    fn waiting(&self) -> BTreeMap<String, usize> {
        let rows = self.fixture.listed(["--limit", "100000"]);
        let waiting: BTreeSet<_> = rows
            .iter()
            .flat_map(|row| {
                let text = |name: &str| row[name].as_str().unwrap().to_owned();
                let key = text("id").split('_').next().unwrap().to_owned();
                let ids = row["waiting"].as_array().unwrap().iter();
                ids.map(move |id| (text("request"), key.clone(), id.as_u64().unwrap())).collect::<Vec<_>>()
            })
            .collect();
        let mut counts = BTreeMap::new();
        waiting.into_iter().for_each(|(request, ..)| *counts.entry(request).or_default() += 1);
        counts
    }

    /// Waits until the events agree with what the engine holds, while nothing moves. Returns the sum of all events.
    fn balance(&self) -> States {
        let waiting = self.waiting();
        retry(|| {
            let told = self.told();
            told.iter()
                .all(|(request, states)| {
                    count(states, &["stored"]) == count(states, &FINAL) + waiting.get(request).unwrap_or(&0)
                })
                .then_some(())
        });
        let mut sum = States::new();
        for (state, count) in self.told().into_values().flatten() {
            *sum.entry(state).or_default() += count;
        }
        let all: usize = waiting.values().sum();
        assert_eq!(count(&sum, &["stored"]), count(&sum, &FINAL) + all, "{sum:?}, {waiting:?}");
        sum
    }

    /// Checks the books while tasks run and end: each task is either stored or in an event, and never in both.
    fn balance_in_motion(&self) {
        let (before, waiting) = (self.told(), self.waiting());
        for (request, states) in &before {
            let (stored, ended) = (count(states, &["stored"]), count(states, &FINAL));
            let listed = *waiting.get(request).unwrap_or(&0);
            assert!(listed <= stored - ended, "{request}: {listed} wait of {stored}, of which {ended} had ended");
        }
        retry(|| {
            self.told()
                .iter()
                .all(|(request, states)| {
                    let listed = *waiting.get(request).unwrap_or(&0);
                    count(states, &["stored"]) <= count(states, &FINAL) + listed
                })
                .then_some(())
        });
    }
}

fn count(states: &States, of: &[&str]) -> usize {
    of.iter().filter_map(|state| states.get(*state)).sum()
}

fn states<const N: usize>(expected: [(&str, usize); N]) -> States {
    expected.map(|(state, count)| (state.to_owned(), count)).into()
}

fn s3_the_books_balance_whatever_an_operator_does(fixture: &mut Fixture) {
    let gate = Upstream::start();
    let knock = |run: &str| format!("run={run}&attempts=1&gate={}", gate.url());
    let mut books = Books::open(fixture);

    // Nothing runs yet, and one request is dropped while it waits.
    books.ask("run=ok,bill");
    books.ask("run=fail,ok&attempts=2");
    books.ask("run=fail,ok&attempts=1&on_failure=continue");
    assert_eq!(books.balance(), states([("stored", 6)]));
    let ready = fixture.stored("ready").remove(0);
    assert_eq!(books.tasks(&["drop", &ready]).code, Some(0));
    assert_eq!(books.balance(), states([("stored", 6), ("dropped", 2)]));

    // Two failures for good: one task waits behind the first, and one does not.
    books.worker();
    fixture.wait_until_done();
    assert_eq!(books.balance(), states([("stored", 6), ("dropped", 2), ("dead", 2), ("succeeded", 1)]));

    // Retried, they die again.
    assert_eq!(books.tasks(&["retry", "--all"]).stderr.last().unwrap(), "2 of 2 made ready");
    fixture.wait_until_done();
    let expected = [("stored", 6), ("dropped", 2), ("dead", 4), ("succeeded", 1), ("retried", 3)];
    assert_eq!(books.balance(), states(expected));

    // The dead are dropped, with what waits behind them.
    let dropped = books.tasks(&["drop", "--all", "--state", "dead", "--yes"]);
    assert_eq!(dropped.stderr.last().unwrap(), "2 of 2 dropped");
    let expected = [("stored", 6), ("dropped", 5), ("dead", 4), ("succeeded", 1), ("retried", 3)];
    assert_eq!(books.balance(), states(expected));

    // One that is dead and succeeds when it is retried.
    books.ask(&knock("knock,ok"));
    drop(gate.call());
    fixture.wait_until_done();
    let id = fixture.stored("dead").remove(0);
    books.tasks(&["retry", &id]);
    gate.call().answer("go on");
    fixture.wait_until_done();
    let expected = [("stored", 8), ("dropped", 5), ("dead", 5), ("succeeded", 3), ("retried", 5)];
    assert_eq!(books.balance(), states(expected));

    // One that runs is dropped: what has ended has ended, what runs is stopped, and what is behind it never runs.
    books.ask(&knock("ok,knock,ok"));
    let held = gate.call();
    let id = fixture.stored("leased").remove(0);
    books.tasks(&["drop", &id]);
    held.answer("go on");
    books.running[1].logged("dropped by an operator");
    let expected = [("stored", 11), ("dropped", 7), ("dead", 5), ("succeeded", 4), ("retried", 5)];
    assert_eq!(books.balance(), states(expected));
    assert!(books.waiting().is_empty());
    let worker = books.end_worker("TERM");
    assert_eq!(worker.code, Some(0), "{:?}", worker.stderr);
    assert_eq!(books.balance(), states(expected), "the worker told nothing more");
}

/// A fault run for durable tasks. `EPILOGUE_FAULT_SEED` sets another seed, and `DURABLE_ROUNDS` another number of
/// rounds.
fn s3_the_books_balance_while_operators_retry_and_drop_at_random(fixture: &mut Fixture) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("it should be a number"));
    let seed = number("EPILOGUE_FAULT_SEED").unwrap_or(1);
    println!("EPILOGUE_FAULT_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let mut books = Books::open(fixture);
    for _ in 0..2 {
        books.worker();
    }
    for _ in 0..number("DURABLE_ROUNDS").unwrap_or(3) {
        for _ in 0..8 {
            let steps: Vec<_> =
                (0..rng.usize(1..5)).map(|_| ["ok", "fail", "chance", "chance", "panic"][rng.usize(..5)]).collect();
            let policy = if rng.bool() { "&on_failure=continue" } else { "" };
            books.ask(&format!("run={}&attempts={}{policy}", steps.join(","), rng.u32(1..3)));
            if rng.u8(..3) == 0 {
                disturb(&mut books, &mut rng);
            }
        }
        books.balance_in_motion();
        fixture.wait_until_done();
        books.balance();
    }
    books.tasks(&["drop", "--all", "--yes"]);
    let sum = books.balance();
    assert!(books.waiting().is_empty());
    assert!(["dead", "succeeded", "dropped"].iter().all(|state| sum.contains_key(*state)), "{sum:?}");
    println!("{sum:?}");
}

/// Does one of the things that an operator may do at any time.
fn disturb(books: &mut Books<'_>, rng: &mut Rng) {
    let stored = books.fixture.listed([]);
    let any = (!stored.is_empty()).then(|| stored[rng.usize(..stored.len())]["id"].as_str().unwrap().to_owned());
    match (rng.u8(..4), any) {
        (0, _) => books.tasks(&["retry", "--all"]),
        (1, Some(id)) => books.tasks(&["retry", &id]),
        (2, _) => books.tasks(&["drop", "--task", "panic", "--state", "dead", "--yes"]),
        (_, Some(id)) => books.tasks(&["drop", &id]),
        (_, None) => return,
    };
}

/// A killed process may have told the engine of a task's end, and not logged it. So for each batch that it ran, at most
/// one event is missing.
fn s3_a_killed_worker_takes_at_most_the_events_of_what_it_ran(fixture: &mut Fixture) {
    fixture.visibility = "2s";
    const KILLS: usize = 3;
    let fixture = &*fixture;
    let mut books = Books::open(fixture);
    for _ in 0..KILLS {
        for _ in 0..10 {
            books.ask("run=ok,ok,ok&attempts=1000");
        }
        books.worker().printed("ok ");
        books.end_worker("KILL");
    }
    books.worker();
    fixture.wait_until_done();
    books.end_worker("TERM");
    let (mut lost, waiting) = (0, books.waiting());
    assert!(waiting.is_empty(), "{waiting:?}");
    for (request, states) in books.told() {
        let (stored, ended) = (count(&states, &["stored"]), count(&states, &FINAL));
        assert!(ended <= stored, "a task of {request} has two ends: {states:?}");
        lost += stored - ended;
    }
    assert!(lost <= KILLS * 4, "{lost} events are lost after {KILLS} kills");
}
