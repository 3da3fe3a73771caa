//! Measures the speed of a task engine, and prints the results as a Markdown table. Usage: `cargo run --release -p
//! epilogue-engines --example measure -- URL [BACKLOG]…`
//!
//! The store must be empty at the start, and this program empties the store at the end. A batch has one task with 300
//! bytes of arguments. The numbers depend on the machine, so compare only numbers of the same run.
//! `host/engines/examples/scale` starts the servers, and runs this program for each engine. To add the server's memory
//! and disk space to the table, set `SERVER_PID` to the server's process id, and `STORE` to the server's file or
//! folder.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use epilogue_engines::{Batch, BatchState, Options, Result, Task, TaskEngine, connect};
use futures::future::try_join_all;

/// The number of clients that enqueue batches at the same time, in a measurement with several clients.
const CLIENTS: usize = 32;
/// The number of times that the program makes each call, one after the other, while many batches wait in the store.
const CALLS: usize = 200;

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let url = args.next().ok_or("usage: measure URL [BACKLOG]…, for example: measure sqlite:/tmp/measure.db 100000")?;
    let backlogs: Vec<usize> = args.map(|arg| arg.parse()).collect::<std::result::Result<_, _>>()?;
    // These times are long, so that no lease and no call times out during the measurement, although the server is busy.
    let options =
        Options { visibility: Duration::from_secs(600), timeout: Duration::from_secs(60), ..Options::default() };
    let engine = connect(&url, options)?;
    if engine.counts().await? != Default::default() {
        return Err("the store is not empty".into());
    }
    let scheme = url.split(':').next().unwrap_or_default();
    println!("| {scheme}{} | |\n|---|---|", if url.contains("normal") { ", synchronous=normal" } else { "" });

    let start = Instant::now();
    let single = enqueue(&engine, 1, Duration::from_secs(3)).await?;
    row("enqueue, one client", start.elapsed(), single, "batch");
    let start = Instant::now();
    let grouped = enqueue(&engine, CLIENTS, Duration::from_secs(3)).await?;
    row("enqueue, 32 clients", start.elapsed(), grouped, "batch");
    drain(&engine, 64).await?;

    for workers in [1, 2, 4] {
        fill(&engine, 2000).await?;
        let start = Instant::now();
        let done = drain(&engine, workers).await?;
        row(&format!("lease and ack, {workers} worker(s)"), start.elapsed(), done, "task");
    }
    for backlog in backlogs {
        let start = Instant::now();
        fill(&engine, backlog).await?;
        row(&format!("{backlog} waiting: enqueued by 100 clients"), start.elapsed(), backlog, "batch");
        sizes(backlog);
        let start = Instant::now();
        for _ in 0..CALLS {
            engine.enqueue(&batch()).await?;
        }
        row(&format!("{backlog} waiting: enqueue"), start.elapsed(), CALLS, "batch");
        let start = Instant::now();
        for _ in 0..CALLS {
            let lease = engine.lease("measure", Duration::from_secs(10)).await?.ok_or("there should be a batch")?;
            engine.ack(&lease).await?;
        }
        row(&format!("{backlog} waiting: lease and ack"), start.elapsed(), CALLS, "batch");
        let start = Instant::now();
        engine.list(None, 100).await?;
        row(&format!("{backlog} waiting: list of 100"), start.elapsed(), 1, "call");
        let start = Instant::now();
        engine.list(Some(BatchState::Dead), 100).await?;
        row(&format!("{backlog} waiting: list of the dead, who are none"), start.elapsed(), 1, "call");
        let start = Instant::now();
        engine.counts().await?;
        row(&format!("{backlog} waiting: counts"), start.elapsed(), 1, "call");
        let start = Instant::now();
        drain(&engine, 32).await?;
        row(&format!("{backlog} waiting: leased and acked by 32 workers"), start.elapsed(), backlog, "batch");
    }
    Ok(())
}

fn row(what: &str, took: Duration, count: usize, unit: &str) {
    let each = took.as_secs_f64() / count.max(1) as f64;
    println!("| {what} | {:.3} ms a {unit}, {:.0}/s |", each * 1e3, 1.0 / each);
}

/// Prints the memory and the disk space that the server uses.
fn sizes(backlog: usize) {
    let number = |command: &str, variable: &str, pattern: &str| -> Option<u64> {
        let argument = pattern.replace("{}", &std::env::var(variable).ok()?);
        let output = Command::new("sh").args(["-c", &format!("{command} {argument}")]).output().ok()?;
        String::from_utf8(output.stdout).ok()?.split_whitespace().find_map(|word| word.parse().ok())
    };
    if let Some(kibibytes) = number("grep VmRSS", "SERVER_PID", "/proc/{}/status") {
        println!("| {backlog} waiting: the server's memory | {} MiB |", kibibytes >> 10);
    }
    if let Some(mebibytes) = number("du -cm", "STORE", "{}* | tail -n 1") {
        println!("| {backlog} waiting: on disk | {mebibytes} MiB |");
    }
}

/// Lets `clients` clients enqueue batches for the given time, and returns the number of batches.
async fn enqueue(engine: &Arc<dyn TaskEngine>, clients: usize, time: Duration) -> Result<usize> {
    let end = Instant::now() + time;
    let client = async || -> Result<usize> {
        let mut count = 0;
        while Instant::now() < end {
            engine.enqueue(&batch()).await?;
            count += 1;
        }
        Ok(count)
    };
    Ok(try_join_all((0..clients).map(|_| client())).await?.into_iter().sum())
}

async fn fill(engine: &Arc<dyn TaskEngine>, count: usize) -> Result<()> {
    let client = async |count| -> Result<()> {
        for _ in 0..count {
            engine.enqueue(&batch()).await?;
        }
        Ok(())
    };
    try_join_all((0..100).map(|_| client(count / 100))).await.map(drop)
}

/// Leases and acknowledges all batches, and returns the number of batches. All workers run in this process.
async fn drain(engine: &Arc<dyn TaskEngine>, workers: usize) -> Result<usize> {
    let mut running = Vec::new();
    for number in 0..workers {
        let engine = engine.clone();
        running.push(tokio::spawn(async move {
            let mut count = 0;
            while let Some(lease) = engine.lease(&format!("worker-{number}"), Duration::ZERO).await? {
                engine.ack(&lease).await?;
                count += 1;
            }
            Ok(count)
        }));
    }
    let mut count = 0;
    for worker in running {
        count += worker.await.unwrap_or(Ok(0))?;
    }
    Ok(count)
}

fn batch() -> Batch {
    let task = Task {
        id: 1,
        layer: None,
        name: "measured".into(),
        args: vec![7; 300],
        max_attempts: 1,
        timeout: None,
        backoff: None,
    };
    Batch::new("measure", "request", vec![task])
}
