//! Tests batches that a process holds, and batches that a process has given back with a delay.

use std::time::Duration;

use epilogue_engines::{BatchState, Counts, Error};

use crate::fixture::{Fixture, Kind, LONG, batch};

on_every_engine!(memory: Memory, sqlite: Sqlite, redis: Redis; held: [
    a_process_that_was_paused_keeps_what_it_holds,
    a_lease_that_was_dropped_is_leased_again_by_the_same_process,
    a_delay_of_a_day_is_a_day,
    a_delay_may_be_longer_than_a_lease,
    what_is_delayed_comes_before_what_is_new_and_is_removed_like_any_other,
]);

// NATS itself decides in which order it delivers messages that a worker has given back. So the list for NATS has fewer
// tests.
on_every_engine!(nats: Nats; held: [
    a_process_that_was_paused_keeps_what_it_holds,
    a_lease_that_was_dropped_is_leased_again_by_the_same_process,
    a_delay_may_be_longer_than_a_lease,
]);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// In this test, the worker does not extend its leases in time, and then asks for more batches. A real worker fails to
/// extend its leases if its process was stopped with SIGSTOP, or if the machine was suspended.
async fn a_process_that_was_paused_keeps_what_it_holds(kind: Kind) {
    let visibility = Duration::from_millis(500);
    let fixture = Fixture::visible_after(kind, visibility);
    let engine = &fixture.engine;
    let sent = [batch(&["one", "two"]), batch(&["three"])];
    for batch in &sent {
        engine.enqueue(batch).await.unwrap();
    }
    let mut held = fixture.lease("w").await.unwrap();
    let other = fixture.lease("w").await.unwrap();
    // This call waits four times as long as a lease lasts.
    assert!(engine.lease("w", visibility * 4).await.unwrap().is_none(), "what is held is not leased again");
    for lease in [&held, &other] {
        let shown = engine.show(&lease.batch.id).await.unwrap().unwrap();
        assert_eq!(shown.attempt, 1, "nor does it cost an attempt");
    }
    engine.checkpoint(&mut held, 1).await.unwrap();
    engine.ack(&held).await.unwrap();
    engine.ack(&other).await.unwrap();
    assert_eq!(engine.counts().await.unwrap(), Counts::default());
}

/// If a worker can no longer extend its lease, the worker drops the lease. After the lease has ended, the same process
/// can lease the batch again.
async fn a_lease_that_was_dropped_is_leased_again_by_the_same_process(kind: Kind) {
    let fixture = Fixture::visible_after(kind, Duration::from_millis(500));
    for name in ["one", "two"] {
        fixture.engine.enqueue(&batch(&[name])).await.unwrap();
    }
    let kept = fixture.lease("w").await.unwrap();
    let dropped = fixture.lease("w").await.unwrap().batch.id;
    let again = fixture.wait("w").await;
    assert_eq!((&again.batch.id, again.attempt), (&dropped, 2));
    fixture.engine.ack(&kept).await.unwrap();
    fixture.engine.ack(&again).await.unwrap();
}

async fn a_delay_of_a_day_is_a_day(kind: Kind) {
    let visibility = Duration::from_millis(500);
    let fixture = Fixture::visible_after(kind, visibility);
    let engine = &fixture.engine;
    let sent = batch(&["one", "two"]);
    engine.enqueue(&sent).await.unwrap();
    let mut lease = fixture.lease("w").await.unwrap();
    engine.checkpoint(&mut lease, 1).await.unwrap();
    engine.retry(&lease, DAY).await.unwrap();
    assert_eq!(engine.extend(&lease).await, Err(Error::LostLease), "it was given back");
    let other = fixture.another();
    assert!(other.lease("w2", visibility * 3).await.unwrap().is_none());
    assert_eq!(other.counts().await.unwrap(), Counts { delayed: 1, ..Counts::default() });
    for state in [None, Some(BatchState::Delayed)] {
        assert_eq!(other.list(state, 10).await.unwrap().len(), 1);
    }
    assert!(other.list(Some(BatchState::Ready), 10).await.unwrap().is_empty());
    let shown = other.show(&sent.id).await.unwrap().unwrap();
    assert_eq!((shown.state, shown.next, shown.attempt, shown.worker.as_deref()), (BatchState::Delayed, 1, 1, None));
    let left = shown.left.unwrap();
    assert!(left <= DAY && left > DAY - LONG, "{left:?}");
    assert_eq!(shown.batch().unwrap(), sent);
    engine.enqueue(&sent).await.unwrap();
    assert_eq!(other.counts().await.unwrap().ready, 0, "it is stored already");
    assert!(other.remove(&sent.id).await.unwrap().is_some());
    assert_eq!(engine.counts().await.unwrap(), Counts::default());
    assert!(other.show(&sent.id).await.unwrap().is_none());
}

async fn a_delay_may_be_longer_than_a_lease(kind: Kind) {
    let fixture = Fixture::visible_after(kind, Duration::from_millis(300));
    fixture.engine.enqueue(&batch(&["one", "two"])).await.unwrap();
    let mut lease = fixture.lease("w").await.unwrap();
    fixture.engine.checkpoint(&mut lease, 1).await.unwrap();
    let start = std::time::Instant::now();
    fixture.engine.retry(&lease, Duration::from_millis(1200)).await.unwrap();
    let again = fixture.another().lease("w2", LONG).await.unwrap().unwrap();
    assert_eq!((again.next, again.attempt), (1, 2));
    assert!(start.elapsed() > Duration::from_millis(1150), "it came back after {:?}", start.elapsed());
}

async fn what_is_delayed_comes_before_what_is_new_and_is_removed_like_any_other(kind: Kind) {
    let fixture = Fixture::new(kind);
    let (engine, due) = (&fixture.engine, Duration::from_millis(300));
    let sent = [batch(&["gone"]), batch(&["later"]), batch(&["new"])];
    for batch in &sent {
        engine.enqueue(batch).await.unwrap();
    }
    for _ in 0..2 {
        let lease = fixture.lease("w").await.unwrap();
        engine.retry(&lease, due).await.unwrap();
    }
    assert!(engine.remove(&sent[0].id).await.unwrap().is_some());
    // Only the engine knows when the delay has ended, so the test asks the engine again and again.
    let ready = async || engine.counts().await.unwrap().ready == 2;
    let mut interval = tokio::time::interval(Duration::from_millis(20));
    while !ready().await {
        interval.tick().await;
    }
    let listed = engine.list(Some(BatchState::Ready), 10).await.unwrap();
    assert_eq!(listed.len(), 2, "{listed:?}");
    let leases = [fixture.wait("w").await, fixture.wait("w").await];
    let expected = if kind == Kind::Memory { ["new", "later"] } else { ["later", "new"] };
    assert_eq!(
        leases.map(|lease| lease.batch.tasks[0].name.clone()),
        expected,
        "memory goes by when each became ready"
    );
}
