//! `cargo bench --profile dev --bench instructions` counts the processor instructions that a task needs, and compares
//! the counts with `instructions.txt`. CI runs this benchmark. Times differ from run to run, but counts of instructions
//! do not. The benchmark uses the build profile of the tests, so that CI has little more to build. The build profile of
//! the tests does not optimize the host's code, so the counts are larger than in a release.
//!
//! The program runs itself under valgrind, once with few tasks and once with many tasks. The difference between the two
//! counts is the count for the tasks alone, without the start of the program. `--bless` writes the new counts to
//! `instructions.txt`.

#[path = "parts/guests.rs"]
mod guests;

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use epilogue::bench::{Bench, small_engine};

const WRITTEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt");
const PARTS: [&str; 3] = ["enqueue", "drain", "call"];
/// The numbers of tasks in the two runs.
const TASKS: [u32; 2] = [100, 600];
/// The largest allowed difference between a new count and the count in `instructions.txt`, in percent. The counts
/// differ a little with other versions of the C library and of Rust.
const TOLERANCE: u64 = 10;

fn main() -> Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--count", part, tasks] => run(part, tasks.parse()?),
        _ => check(arguments.iter().any(|argument| argument == "--bless")),
    }
}

/// Does the work whose instructions valgrind counts.
fn run(part: &str, tasks: u32) -> Result<()> {
    // The target is fixed, so that the guest's compiled code is the same on every machine.
    let engine = small_engine(Some("x86_64-unknown-linux-gnu"))?;
    let bench = Bench::load(&engine, Path::new(guests::BENCH))?;
    match part {
        "enqueue" => bench.enqueue(tasks),
        "drain" => bench.drain(tasks),
        _ => bench.call(tasks),
    }
}

fn check(bless: bool) -> Result<()> {
    // This run outside of valgrind compiles the guest and fills wasmtime's cache before anything is counted.
    run("drain", 1)?;
    let mut counted = String::new();
    for part in PARTS {
        let [few, many] = TASKS.map(|tasks| count(part, tasks));
        let each = (many? - few?) / u64::from(TASKS[1] - TASKS[0]);
        counted += &format!("{part} {each}\n");
    }
    if bless {
        print!("{counted}");
        return Ok(fs::write(WRITTEN, counted)?);
    }
    let written = fs::read_to_string(WRITTEN).with_context(|| format!("cannot read {WRITTEN}"))?;
    let mut strayed = false;
    for (now, before) in numbers(&counted)?.into_iter().zip(numbers(&written)?) {
        ensure!(now.0 == before.0, "{WRITTEN} is not of this version: run with --bless");
        let strays = now.1.abs_diff(before.1) * 100 > before.1 * TOLERANCE;
        println!(
            "{}: {} instructions a task, {} written down{}",
            now.0,
            now.1,
            before.1,
            if strays { " <--" } else { "" }
        );
        strayed |= strays;
    }
    if strayed {
        bail!(
            "more than {TOLERANCE} % off: find out why, or, if it is meant, `cargo bench --profile dev --bench instructions -- --bless`"
        );
    }
    Ok(())
}

/// Counts the instructions of a whole run.
fn count(part: &str, tasks: u32) -> Result<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(env::current_exe()?);
    let output = valgrind.args(["--count", part, &tasks.to_string()]).output().context("cannot run valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{part} failed under valgrind:\n{said}");
    let count = said.lines().find_map(|line| line.split_once("Collected : ")).context("valgrind did not count")?;
    Ok(count.1.trim().parse()?)
}

fn numbers(text: &str) -> Result<Vec<(&str, u64)>> {
    text.lines()
        .map(|line| {
            let (part, count) =
                line.split_once(' ').with_context(|| format!("{line:?} is not a part and its count"))?;
            Ok((part, count.parse()?))
        })
        .collect()
}
