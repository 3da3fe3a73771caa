//! What an engine costs, as a Markdown table: `cargo run --release -p epilogue-engines --example measure -- URL [BACKLOG]…`
//!
//! The store must be empty, and is emptied again. A batch has one task with 300 bytes of arguments. Compare ratios within one
//! run only.

use std::sync::Arc;
use std::time::{Duration, Instant};

use epilogue_engines::{Batch, Engine, Options, Result, Task, connect};
use futures::future::try_join_all;

/// How many clients enqueue at once, where it is not one.
const CLIENTS: usize = 32;

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let url = args.next().ok_or("usage: measure URL [BACKLOG]…, for example: measure sqlite:/tmp/measure.db 100000")?;
    let backlogs: Vec<usize> = args.map(|arg| arg.parse()).collect::<std::result::Result<_, _>>()?;
    // What it takes to run against a busy server; nothing here is to expire.
    let options = Options { visibility: Duration::from_secs(600), timeout: Duration::from_secs(60) };
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
        fill(&engine, backlog).await?;
        let start = Instant::now();
        for _ in 0..200 {
            engine.enqueue(&batch()).await?;
            if let Some(lease) = engine.lease("measure", Duration::ZERO).await? {
                engine.ack(&lease).await?;
            }
        }
        row(&format!("enqueue, lease and ack with {backlog} waiting"), start.elapsed(), 200, "batch");
        let start = Instant::now();
        engine.counts().await?;
        row(&format!("counts with {backlog} waiting"), start.elapsed(), 1, "call");
        drain(&engine, 64).await?;
    }
    Ok(())
}

fn row(what: &str, took: Duration, count: usize, unit: &str) {
    let each = took.as_secs_f64() / count.max(1) as f64;
    println!("| {what} | {:.3} ms a {unit}, {:.0}/s |", each * 1e3, 1.0 / each);
}

/// Enqueues for a while, and says how many.
async fn enqueue(engine: &Arc<dyn Engine>, clients: usize, time: Duration) -> Result<usize> {
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

async fn fill(engine: &Arc<dyn Engine>, count: usize) -> Result<()> {
    let client = async |count| -> Result<()> {
        for _ in 0..count {
            engine.enqueue(&batch()).await?;
        }
        Ok(())
    };
    try_join_all((0..100).map(|_| client(count / 100))).await.map(drop)
}

/// Leases and acks all there is, and says how many. The workers are those of one process.
async fn drain(engine: &Arc<dyn Engine>, workers: usize) -> Result<usize> {
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
    let task = Task { id: 1, layer: None, name: "measured".into(), args: vec![7; 300], max_attempts: 1, timeout: None };
    Batch::new("measure", "request", vec![task])
}
