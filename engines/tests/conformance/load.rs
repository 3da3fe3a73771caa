//! Many batches, several workers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{join_all, try_join_all};

use crate::fixture::{Fixture, Kind, batch};

on_every_engine!(memory: Memory, sqlite: Sqlite, redis: Redis, nats: Nats; load: [
    a_thousand_batches_are_each_acked_once_by_one_of_four_workers,
]);

const BATCHES: usize = 1000;

async fn a_thousand_batches_are_each_acked_once_by_one_of_four_workers(kind: Kind) {
    let fixture = Fixture::new(kind);
    let sent: Vec<_> = (0..BATCHES).map(|_| batch(&["one", "two"])).collect();
    let acked = Arc::new(AtomicUsize::new(0));
    // Of each batch: whether somebody holds it, and how often it was acked.
    let seen: Arc<Mutex<HashMap<String, (bool, u32)>>> = Arc::default();
    let workers = (0..4).map(|number| {
        let (engine, acked, seen) = (fixture.another(), acked.clone(), seen.clone());
        tokio::spawn(async move {
            let worker = format!("worker-{number}");
            while acked.load(Ordering::SeqCst) < BATCHES {
                let Some(mut lease) = engine.lease(&worker, Duration::from_millis(200)).await.unwrap() else {
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
    for worker in join_all(workers).await {
        worker.unwrap();
    }
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(seen.len(), BATCHES);
    assert!(sent.iter().all(|batch| seen[&batch.id] == (false, 1)));
    assert_eq!(fixture.engine.counts().await.unwrap(), Default::default());
}
