//! Tests a server that is killed with `kill -9` again and again while workers run tasks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use epilogue_engines::{Counts, Error, Lease, Result, TaskEngine};
use futures::future::try_join_all;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::fixture::{Fixture, Kind, LONG, batch};

on_every_engine!(redis: Redis, nats: Nats; server_kills: [
    a_server_that_is_killed_repeats_reorders_and_doubles_nothing,
]);

const BATCHES: usize = 1_000;
const WORKERS: usize = 12;
/// The number of batches that end between two kills of the server.
const BETWEEN: usize = 80;
/// The time after which a lease ends. After each kill, the server is down for a much shorter time than `VISIBILITY`. If
/// the answer to a call of `lease` was lost, the batch is ready again after the time `VISIBILITY`.
const VISIBILITY: Duration = Duration::from_secs(8);
/// The time for which a worker waits after a failed call.
const PAUSE: Duration = Duration::from_millis(5);

/// Counts of events that must not happen.
#[derive(Debug, Default, PartialEq, Eq)]
struct Faults {
    /// The number of tasks that began after their batch had ended.
    repeated: usize,
    /// The number of tasks that began in the wrong order, or began again after the engine had confirmed their end.
    reordered: usize,
    /// The number of tasks that began while another worker with a valid lease ran a task of the same batch.
    doubled: usize,
}

/// The progress of one batch, as the workers have recorded it.
#[derive(Default)]
struct Seen {
    /// The number of tasks that have begun.
    begun: u32,
    /// The number of tasks whose end the engine has confirmed.
    done: u32,
    ended: bool,
    /// The worker that runs the batch, and the time until which the worker's lease is certainly valid.
    running: Option<(usize, Instant)>,
}

#[derive(Default)]
struct Record {
    seen: Mutex<HashMap<String, Seen>>,
    faults: Mutex<Faults>,
}

impl Record {
    /// Records that a task is about to begin. The worker's lease lasts at least until `until`.
    fn begins(&self, worker: usize, lease: &Lease, until: Instant) {
        let (mut seen, mut faults) = (self.seen.lock().unwrap(), self.faults.lock().unwrap());
        let seen = seen.entry(lease.batch.id.clone()).or_default();
        faults.repeated += usize::from(seen.ended);
        faults.reordered += usize::from(!seen.ended && !(seen.done..=seen.begun).contains(&lease.next));
        seen.begun = seen.begun.max(lease.next + 1);
        let other = seen.running.filter(|(other, until)| *other != worker && Instant::now() < *until);
        faults.doubled += usize::from(other.is_some());
        seen.running = Some((worker, until));
    }

    fn ends(&self, worker: usize, lease: &Lease, change: impl FnOnce(&mut Seen)) {
        let mut seen = self.seen.lock().unwrap();
        let seen = seen.entry(lease.batch.id.clone()).or_default();
        if seen.running.is_some_and(|(running, _)| running == worker) {
            seen.running = None;
        }
        change(seen);
    }
}

/// Waits for a fixed time, which stands for the work of a task or the pause of a worker. The test never calls this
/// function to wait for an event.
async fn pass(time: Duration) {
    tokio::time::interval_at(tokio::time::Instant::now() + time, time).tick().await;
}

/// Makes a checkpoint, and repeats the call until the engine answers, as a worker does. Returns the time when the last
/// call began.
async fn checkpoint(engine: &dyn TaskEngine, lease: &mut Lease, next: u32) -> Result<Instant> {
    loop {
        let began = Instant::now();
        match engine.checkpoint(lease, next).await {
            Err(Error::Unavailable(_)) => pass(PAUSE).await,
            done => return done.map(|()| began),
        }
    }
}

/// Acknowledges a batch, and repeats the call until the engine answers.
async fn ack(engine: &dyn TaskEngine, lease: &Lease) -> Result<()> {
    loop {
        match engine.ack(lease).await {
            Err(Error::Unavailable(_)) => pass(PAUSE).await,
            done => return done,
        }
    }
}

/// Runs the tasks of one batch. Returns an error if the worker has lost its lease. A lost lease alone is not a fault of
/// the engine.
async fn work(
    engine: &dyn TaskEngine,
    worker: usize,
    record: &Record,
    lease: &mut Lease,
    began: Instant,
) -> Result<()> {
    let mut until = began + VISIBILITY;
    while lease.task().is_some() {
        record.begins(worker, lease, until);
        // This wait is the task's work.
        pass(Duration::from_millis(1 + u64::from(lease.next) * 4)).await;
        let next = lease.next + 1;
        match checkpoint(engine, lease, next).await {
            Ok(renewed) => until = renewed + VISIBILITY,
            Err(error) => {
                record.ends(worker, lease, |_| {});
                return Err(error);
            }
        }
        record.ends(worker, lease, |seen| seen.done = next);
    }
    ack(engine, lease).await?;
    record.ends(worker, lease, |seen| seen.ended = true);
    Ok(())
}

async fn a_server_that_is_killed_repeats_reorders_and_doubles_nothing(kind: Kind) {
    let mut fixture = Fixture::visible_after(kind, VISIBILITY);
    let sent: Vec<_> = (0..BATCHES).map(|_| batch(&["one", "two", "three"])).collect();
    for some in sent.chunks(32) {
        try_join_all(some.iter().map(|batch| fixture.engine.enqueue(batch))).await.unwrap();
    }
    let record = Arc::new(Record::default());
    let (told, mut ended) = watch::channel(0);
    let told = Arc::new(told);
    // Three workers share each engine, as in one process.
    let engines: Vec<_> = (0..WORKERS / 3).map(|_| fixture.another()).collect();
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let (engine, record, told) = (engines[worker % engines.len()].clone(), record.clone(), told.clone());
        workers.spawn(async move {
            loop {
                let began = Instant::now();
                match engine.lease(&format!("worker-{worker}"), Duration::from_millis(200)).await {
                    Ok(Some(mut lease)) => {
                        // If the engine's answer is lost, only the store knows whether the batch has ended. So the test
                        // ignores the result.
                        _ = work(&*engine, worker, &record, &mut lease, began).await;
                        told.send_modify(|ended| *ended += 1);
                    }
                    Ok(None) => {}
                    Err(_) => pass(PAUSE).await,
                }
            }
        });
    }
    for until in (BETWEEN..BATCHES).step_by(BETWEEN) {
        let reached = tokio::time::timeout(LONG, ended.wait_for(|ended| *ended >= until)).await;
        reached.expect("the workers do not go on").unwrap();
        fixture.server.as_mut().unwrap().restart();
    }
    // The test waits until all batches have ended. A server that was killed may have forgotten the end of a batch. The
    // server then delivers the message again before the time of a lease is over. The counts may never become zero,
    // because such a server may still count a message that it has removed. So after the list is empty, the test waits
    // at most a quarter longer than a lease lasts.
    let end = Instant::now() + LONG;
    let mut again = tokio::time::interval(Duration::from_millis(100));
    let all = |seen: &HashMap<String, Seen>| sent.iter().all(|batch| seen[&batch.id].begun == 3);
    let operator = fixture.another();
    let mut ended = None;
    loop {
        let listed = operator.list(None, 10).await.unwrap();
        let is_empty = operator.counts().await == Ok(Counts::default());
        if listed.is_empty() {
            let since = *ended.get_or_insert_with(Instant::now);
            if is_empty || since.elapsed() > VISIBILITY + VISIBILITY / 4 {
                break;
            }
        }
        assert!(Instant::now() < end, "{} are left", listed.len());
        again.tick().await;
    }
    workers.shutdown().await;
    let (seen, faults) = (record.seen.lock().unwrap(), record.faults.lock().unwrap());
    assert_eq!(*faults, Faults::default());
    assert!(all(&seen), "some did not run");
}
