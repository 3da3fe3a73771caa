//! The fault run: guests and clients misbehave at random, limits are random, and the test checks each request (S3).
//!
//! `cargo test` runs a few rounds. To run it for longer, with a chart of the process' memory:
//!
//! ```sh
//! EPILOGUE_FAULT_SECONDS=1800 EPILOGUE_FAULT_SEED=7 cargo test --test e2e fault::run -- --ignored --nocapture
//! ```
//!
//! A seed and a round's number decide which client sends which request, but not the order in time. The run begins with
//! the round in `EPILOGUE_FAULT_ROUND`. A failure shows the request's path, so that you can send the request to the
//! guest by itself.

mod check;
mod clients;
mod figures;
mod script;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use epilogue::testing::{RequestRecord, TestHost};
use fastrand::Rng;

use self::check::{Case, Said};
use self::clients::{Sent, Turn};
use self::figures::{Figures, Memory, growth};
use self::script::{COMPONENT, Limits};
use crate::{heap, telling};

/// How many clients send requests at once.
const CLIENTS: usize = 12;
/// By how many bytes the process' memory may grow once wasmtime's pools and the allocator have taken what they need.
const ROOM: usize = 64 << 20;
/// By how many bytes the heap may grow. The heap has no pools, so the test finds a leak of 2 KiB a request within a
/// thousand requests.
const HEAP_ROOM: usize = 1 << 20;

#[test]
fn s3_a_few_rounds_of_faults_lose_nothing() {
    let seed = 1;
    let mut figures = Figures::default();
    for number in 0..3 {
        round(seed, number, &[10], None, &mut figures);
    }
    assert!(figures.tasks() > 100, "{figures}");
}

#[test]
#[ignore = "takes as long as EPILOGUE_FAULT_SECONDS says, and watches the memory of the process, which is to be its own"]
fn run() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("it should be a number"));
    let seconds = number("EPILOGUE_FAULT_SECONDS").unwrap_or(20);
    let seed = number("EPILOGUE_FAULT_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    let first = number("EPILOGUE_FAULT_ROUND").unwrap_or(0);
    println!("EPILOGUE_FAULT_SEED={seed}, for {seconds} s");
    // The host's counts go nowhere unless somebody listens.
    telling::counts(COMPONENT);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut figures = Figures::default();
    // What every process has once: compiled code, threads' stacks, an allocator's arenas.
    round(seed, u64::MAX, &[10], Some(end), &mut Figures::default());
    let warm = telling::counts(COMPONENT);
    let memory = Memory::watch(figures.progress());
    // Before the first round and after each, when nothing of a host is left.
    let mut heap = vec![heap::in_use()];
    for number in first.. {
        if Instant::now() >= end {
            break;
        }
        round(seed, number, &[10, 40, 40, 200], Some(end), &mut figures);
        heap.push(heap::in_use());
    }
    let memory = memory.end();
    println!("{figures}\n{memory}");
    println!("heap before the first round and after each: {heap:?}");
    memory.write(&format!("seed {seed}, {} requests, {} tasks", figures.requests(), figures.tasks()));
    let counted: BTreeMap<_, _> = telling::counts(COMPONENT)
        .into_iter()
        .map(|(state, count)| (state.clone(), count - warm.get(&state).unwrap_or(&0)))
        .filter(|(_, count)| *count > 0)
        .collect();
    assert_eq!(counted, figures.states(), "the host's metrics and its records");
    assert!(growth(&heap) < HEAP_ROOM, "the heap grows: {heap:?}");
    assert!(memory.growth() < ROOM, "{memory}");
}

/// Runs one round: starts a host with limits of its own, lets the clients take their turns, and checks each request.
fn round(seed: u64, number: u64, turns: &[usize], end: Option<Instant>, figures: &mut Figures) {
    let mut rng = Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let turns = script::pick(&mut rng, turns);
    let limits = Limits::draw(&mut rng, turns * CLIENTS);
    let replay = format!("EPILOGUE_FAULT_SEED={seed} EPILOGUE_FAULT_ROUND={number}");
    println!("{replay}\n{limits:?}");
    let mut host = limits.start();
    let sent = talk_to(&host, &limits, rng, turns, end, figures);
    let grace = limits.cut.map_or(Duration::from_secs(60), |(_, grace)| Duration::from_millis(grace));
    let summary = host.shut_down(grace);
    let stdout = host.stdout();
    let records: Vec<_> = (0..summary.requests).map(|_| host.next_record()).collect();
    let tasks: usize = records.iter().map(|record| record.tasks.len()).sum();
    assert_eq!(tasks as u64, summary.tasks, "the host's summary and its records");

    if let Err(error) = check_all(&limits, &sent, &stdout, &records) {
        panic!("{replay}\n{error}\nthe guest's stderr ends with:\n{}", tail(&host.stderr()));
    }
    figures.add(&sent, &records, limits.cut.is_some());
}

/// Lets the clients take their turns.
fn talk_to(
    host: &TestHost,
    limits: &Limits,
    rng: Rng,
    turns: usize,
    end: Option<Instant>,
    figures: &Figures,
) -> Vec<Sent> {
    let taken = AtomicUsize::new(0);
    let progress = figures.progress();
    let client = |mut rng: Rng| {
        let (taken, progress) = (&taken, &progress);
        async move {
            let mut all = Vec::new();
            for _ in 0..turns {
                if end.is_some_and(|end| Instant::now() >= end) {
                    break;
                }
                let turn = Turn { address: host.address(), limits, rng: rng.fork(), answered: progress };
                all.extend(turn.take().await);
                if limits.cut.is_some_and(|(after, _)| taken.fetch_add(1, Relaxed) == after) {
                    host.begin_shutdown(Duration::from_millis(limits.cut.map_or(0, |(_, grace)| grace)));
                }
            }
            all
        }
    };
    let mut rng = rng;
    let clients: Vec<_> = (0..CLIENTS).map(|_| client(rng.fork())).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut sent: Vec<_> = futures::future::join_all(clients).await.into_iter().flatten().collect();
        if limits.cut.is_none() {
            let turn = Turn { address: host.address(), limits, rng, answered: &progress };
            sent.push(turn.last().await);
        }
        sent
    })
}

fn check_all(limits: &Limits, sent: &[Sent], stdout: &str, records: &[RequestRecord]) -> Result<(), String> {
    let mut said: HashMap<&str, Said> = HashMap::new();
    for line in stdout.lines() {
        let heard = line.split_once(' ').and_then(|(id, rest)| said.entry(id).or_default().hear(rest));
        heard.ok_or_else(|| format!("the guest does not say this: {line:?}"))?;
    }
    let mut by_trace: HashMap<&str, &RequestRecord> = HashMap::new();
    for record in records {
        let twice = by_trace.insert(&record.trace_id, record);
        twice.map_or(Ok(()), |first| Err(format!("two records of one request: {first:?} and {record:?}")))?;
    }
    for sent in sent {
        let id = sent.script.id.as_str();
        let said = said.remove(id).unwrap_or_default();
        let case = Case { limits, sent, said: &said, record: by_trace.remove(id) };
        case.check().map_err(|error| {
            let Sent { script, client, seen } = sent;
            format!("{error}\nthe client {client:?} sent {script}\nand saw {seen:?}\n{:?}\n{said:#?}", case.record)
        })?;
    }
    // Nobody asked for these.
    match (said.into_iter().next(), by_trace.into_values().next()) {
        (None, None) => Ok(()),
        (said, record) => Err(format!("requests that nobody sent: {said:?} {record:?}")),
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}
