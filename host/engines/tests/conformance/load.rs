//! Tests many batches with several workers at the same time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{join_all, try_join_all};

use crate::fixture::{Fixture, Kind, batch};

on_every_engine!(memory: Memory, sqlite: Sqlite, redis: Redis, nats: Nats; load: [
    a_thousand_batches_are_each_acked_once_by_one_of_four_workers,
    of_many_that_ask_for_one_batch_one_gets_it_and_none_waits,
]);

const BATCHES: usize = 1000;

async fn a_thousand_batches_are_each_acked_once_by_one_of_four_workers(kind: Kind) {
    let fixture = Fixture::new(kind);
    let sent: Vec<_> = (0..BATCHES).map(|_| batch(&["one", "two"])).collect();
    let acked = Arc::new(AtomicUsize::new(0));
    // For each batch: true if a worker holds the batch, and the number of times that the batch was acknowledged.
    let seen: Arc<Mutex<HashMap<String, (bool, u32)>>> = Arc::default();
    let workers = (0..4).map(|number| {
        let (engine, acked, seen) = (fixture.another(), acked.clone(), seen.clone());
        tokio::spawn(async move {
            let worker = format!("worker-{number}");
            // Half of the workers wait for a batch. The other workers ask again and again.
            let wait = Duration::from_millis(200) * (number % 2);
            let mut again = tokio::time::interval(Duration::from_millis(1));
            while acked.load(Ordering::SeqCst) < BATCHES {
                let Some(mut lease) = engine.lease(&worker, wait).await.unwrap() else {
                    again.tick().await;
                    continue;
                };
                let id = lease.batch.id.clone();
                let held = std::mem::replace(&mut seen.lock().unwrap().entry(id.clone()).or_default().0, true);
                assert!(!held, "two workers hold {id}");
                assert_eq!((lease.next, lease.attempt), (0, 1));
                engine.checkpoint(&mut lease, 1).await.unwrap();
                seen.lock().unwrap().entry(id).and_modify(|(held, acks)| (*held, *acks) = (false, *acks + 1));
                engine.ack(&lease).await.unwrap();
                acked.fetch_add(1, Ordering::SeqCst);
            }
        })
    });
    let workers: Vec<_> = workers.collect();
    for some in sent.chunks(32) {
        try_join_all(some.iter().map(|batch| fixture.engine.enqueue(batch))).await.unwrap();
    }
    // If one worker fails, the test ends at once, because the other workers would wait for the batches of this worker.
    try_join_all(workers).await.unwrap();
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(seen.len(), BATCHES);
    assert!(sent.iter().all(|batch| seen[&batch.id] == (false, 1)));
    assert_eq!(fixture.engine.counts().await.unwrap(), Default::default());
}

async fn of_many_that_ask_for_one_batch_one_gets_it_and_none_waits(kind: Kind) {
    let fixture = Fixture::new(kind);
    let engines: Vec<_> = (0..8).map(|_| fixture.another()).collect();
    for _ in 0..50 {
        fixture.engine.enqueue(&batch(&["one"])).await.unwrap();
        let asked = engines.iter().enumerate().map(|(number, engine)| {
            let engine = engine.clone();
            tokio::spawn(async move { engine.lease(&format!("worker-{number}"), Duration::ZERO).await.unwrap() })
        });
        let leases: Vec<_> = join_all(asked.collect::<Vec<_>>()).await.into_iter().filter_map(Result::unwrap).collect();
        assert_eq!(leases.len(), 1);
        fixture.engine.remove(&leases[0].batch.id).await.unwrap();
    }
}
