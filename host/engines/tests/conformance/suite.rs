//! Tests the life of one batch: enqueue, lease, extend, retry, bury and remove.

use std::time::{Duration, Instant};

use epilogue_engines::{BatchState, Counts, Error, Lease, Options, connect};

use crate::fixture::{Fixture, Kind, LONG, batch};

on_every_engine!(memory: Memory, sqlite: Sqlite, redis: Redis, nats: Nats; suite: [
    a_batch_comes_back_as_it_was_in_order_and_is_gone_once_acked,
    the_batch_that_waits_longest_is_leased_first,
    a_repeated_enqueue_is_the_same_batch,
    a_lease_that_waits_gets_what_another_process_enqueues,
    a_leased_batch_is_nobody_elses,
    a_lease_that_ended_is_fenced,
    extending_holds_a_lease,
    a_checkpoint_is_where_the_next_worker_resumes,
    attempts_count_at_delivery_and_anew_for_each_task,
    a_retry_comes_back_after_its_delay,
    a_release_costs_no_attempt,
    a_buried_batch_waits_for_an_operator,
    one_failed_task_can_be_buried_alone,
    an_operator_sees_and_removes_what_is_stored,
    what_is_removed_says_which_tasks_had_ended,
    an_operator_s_look_leaves_the_leases_of_others_as_they_are,
]);

fn names(lease: &Lease) -> Vec<&str> {
    lease.batch.tasks.iter().map(|task| task.name.as_str()).collect()
}

async fn a_batch_comes_back_as_it_was_in_order_and_is_gone_once_acked(kind: Kind) {
    let fixture = Fixture::new(kind);
    let sent = batch(&["one", "two", "three"]);
    fixture.engine.enqueue(&sent).await.unwrap();
    let mut lease = fixture.lease("w").await.unwrap();
    assert_eq!(lease.batch, sent);
    let mut ran = Vec::new();
    while let Some(task) = lease.task() {
        ran.push(task.name.clone());
        let next = lease.next + 1;
        fixture.engine.checkpoint(&mut lease, next).await.unwrap();
    }
    assert_eq!(ran, ["one", "two", "three"]);
    fixture.engine.ack(&lease).await.unwrap();
    assert_eq!(fixture.engine.counts().await.unwrap(), Counts::default());
    assert!(fixture.lease("w").await.is_none());
}

async fn the_batch_that_waits_longest_is_leased_first(kind: Kind) {
    let fixture = Fixture::new(kind);
    for name in ["a", "b", "c"] {
        fixture.engine.enqueue(&batch(&[name])).await.unwrap();
    }
    for name in ["a", "b", "c"] {
        assert_eq!(names(&fixture.lease("w").await.unwrap()), [name]);
    }
}

async fn a_repeated_enqueue_is_the_same_batch(kind: Kind) {
    let fixture = Fixture::new(kind);
    let sent = batch(&["once"]);
    for engine in [fixture.engine.clone(), fixture.another()] {
        engine.enqueue(&sent).await.unwrap();
    }
    assert_eq!(fixture.engine.counts().await.unwrap(), Counts { ready: 1, ..Counts::default() });
    let lease = fixture.lease("w").await.unwrap();
    fixture.engine.enqueue(&sent).await.unwrap();
    assert!(fixture.lease("w").await.is_none());
    fixture.engine.ack(&lease).await.unwrap();
}

async fn a_lease_that_waits_gets_what_another_process_enqueues(kind: Kind) {
    let fixture = Fixture::new(kind);
    let start = Instant::now();
    assert!(fixture.engine.lease("w", Duration::from_millis(300)).await.unwrap().is_none());
    assert!(start.elapsed() >= Duration::from_millis(290), "it did not wait");
    let other = fixture.another();
    let (lease, enqueued) = tokio::join!(fixture.wait("w"), async { other.enqueue(&batch(&["late"])).await });
    enqueued.unwrap();
    assert_eq!(names(&lease), ["late"]);
}

async fn a_leased_batch_is_nobody_elses(kind: Kind) {
    let fixture = Fixture::new(kind);
    fixture.engine.enqueue(&batch(&["mine"])).await.unwrap();
    let _lease = fixture.lease("w1").await.unwrap();
    assert!(fixture.lease("w2").await.is_none());
    assert!(fixture.another().lease("w3", Duration::ZERO).await.unwrap().is_none());
    assert_eq!(fixture.engine.counts().await.unwrap(), Counts { leased: 1, ..Counts::default() });
}

async fn a_lease_that_ended_is_fenced(kind: Kind) {
    let fixture = Fixture::visible_after(kind, Duration::from_secs(1));
    let (engine, other) = (&fixture.engine, fixture.another());
    engine.enqueue(&batch(&["one", "two"])).await.unwrap();
    let mut stale = fixture.lease("w1").await.unwrap();
    let mut current = other.lease("w2", LONG).await.unwrap().unwrap();
    assert_eq!((current.next, current.attempt), (0, 2));

    // The worker `w1` does not know yet that its lease has ended.
    assert_eq!(engine.extend(&stale).await, Err(Error::LostLease));
    assert_eq!(engine.checkpoint(&mut stale, 1).await, Err(Error::LostLease));
    assert_eq!((stale.next, stale.attempt), (0, 1), "a refused checkpoint leaves the lease as it was");
    assert_eq!(engine.retry(&stale, Duration::ZERO).await, Err(Error::LostLease));
    assert_eq!(engine.release(&stale).await, Err(Error::LostLease));
    assert_eq!(engine.bury(&stale, "no").await, Err(Error::LostLease));
    assert_eq!(engine.ack(&stale).await, Err(Error::LostLease));

    other.extend(&current).await.unwrap();
    other.checkpoint(&mut current, 1).await.unwrap();
    other.ack(&current).await.unwrap();
    assert_eq!(engine.counts().await.unwrap(), Counts::default());
    assert_eq!(engine.ack(&stale).await, Err(Error::LostLease));
}

async fn extending_holds_a_lease(kind: Kind) {
    let visibility = Duration::from_secs(2);
    let fixture = Fixture::visible_after(kind, visibility);
    fixture.engine.enqueue(&batch(&["long"])).await.unwrap();
    // On a busy machine, a call of `extend` may come too late, and the result then says nothing about the engine. In
    // this case, the test tries again.
    for _ in 0..10 {
        let lease = fixture.wait("w1").await;
        let mut longest = Duration::ZERO;
        let beats = async {
            let mut last = Instant::now();
            let mut interval = tokio::time::interval(visibility / 10);
            loop {
                interval.tick().await;
                if fixture.engine.extend(&lease).await.is_err() {
                    return;
                }
                longest = longest.max(last.elapsed());
                last = Instant::now();
            }
        };
        let other = fixture.another();
        let stolen = tokio::select! {
            stolen = other.lease("w2", visibility * 2) => stolen.unwrap(),
            () = beats => other.lease("w2", LONG).await.unwrap(),
        };
        match stolen {
            None => return fixture.engine.ack(&lease).await.unwrap(),
            Some(stolen) => {
                assert!(longest > visibility / 2, "a lease was lost though extended every {longest:?}");
                other.retry(&stolen, Duration::ZERO).await.unwrap();
            }
        }
    }
    panic!("the machine is too busy to show anything");
}

async fn a_checkpoint_is_where_the_next_worker_resumes(kind: Kind) {
    let fixture = Fixture::visible_after(kind, Duration::from_secs(1));
    fixture.engine.enqueue(&batch(&["one", "two", "three"])).await.unwrap();
    let mut lease = fixture.lease("w1").await.unwrap();
    fixture.engine.checkpoint(&mut lease, 1).await.unwrap();
    fixture.engine.checkpoint(&mut lease, 2).await.unwrap();
    assert_eq!(lease.task().unwrap().name, "three");
    drop(lease);
    let mut resumed = fixture.wait("w2").await;
    assert_eq!((resumed.next, resumed.attempt), (2, 2));
    assert_eq!(names(&resumed), ["one", "two", "three"]);
    fixture.engine.checkpoint(&mut resumed, 3).await.unwrap();
    assert!(resumed.task().is_none() && !resumed.exhausted());
    fixture.engine.ack(&resumed).await.unwrap();
}

async fn attempts_count_at_delivery_and_anew_for_each_task(kind: Kind) {
    let fixture = Fixture::visible_after(kind, Duration::from_millis(500));
    fixture.engine.enqueue(&batch(&["killer", "next"])).await.unwrap();
    // In each of the task's three attempts, the worker dies.
    for attempt in 1..=3 {
        let lease = fixture.wait("w").await;
        assert_eq!(lease.attempt, attempt);
        assert!(!lease.exhausted());
    }
    let mut lease = fixture.wait("w").await;
    assert_eq!(lease.attempt, 4);
    assert!(lease.exhausted());
    fixture.engine.checkpoint(&mut lease, 1).await.unwrap();
    assert_eq!(lease.attempt, 1);
    assert!(!lease.exhausted());
    fixture.engine.retry(&lease, Duration::ZERO).await.unwrap();
    assert_eq!(fixture.wait("w").await.attempt, 2);
}

async fn a_retry_comes_back_after_its_delay(kind: Kind) {
    let fixture = Fixture::new(kind);
    fixture.engine.enqueue(&batch(&["flaky"])).await.unwrap();
    let lease = fixture.lease("w").await.unwrap();
    fixture.engine.retry(&lease, Duration::ZERO).await.unwrap();
    let lease = fixture.wait("w").await;
    assert_eq!(lease.attempt, 2);

    let start = Instant::now();
    fixture.engine.retry(&lease, Duration::from_millis(700)).await.unwrap();
    let counts = fixture.engine.counts().await.unwrap();
    assert!(counts.delayed == 1 || start.elapsed() > Duration::from_millis(650), "{counts:?}");
    let shown = fixture.engine.show(&lease.batch.id).await.unwrap().unwrap();
    let left = shown.left.unwrap_or_default();
    let delayed = shown.state == BatchState::Delayed && !left.is_zero() && left <= Duration::from_millis(700);
    assert!(delayed || start.elapsed() > Duration::from_millis(650), "{shown:?}");
    assert_eq!(fixture.engine.extend(&lease).await, Err(Error::LostLease), "it was given back");
    assert_eq!(fixture.wait("w").await.attempt, 3);
    assert!(start.elapsed() > Duration::from_millis(650), "it came back after {:?}", start.elapsed());
}

async fn a_release_costs_no_attempt(kind: Kind) {
    let fixture = Fixture::new(kind);
    fixture.engine.enqueue(&batch(&["one", "two"])).await.unwrap();
    let released = fixture.lease("w").await.unwrap();
    fixture.engine.release(&released).await.unwrap();
    let mut lease = fixture.wait("w").await;
    assert_eq!((lease.next, lease.attempt), (0, 1));
    assert_eq!(
        fixture.engine.ack(&released).await,
        Err(Error::LostLease),
        "it is the same worker's, but another lease"
    );
    fixture.engine.checkpoint(&mut lease, 1).await.unwrap();
    fixture.engine.release(&lease).await.unwrap();
    assert_eq!(fixture.engine.extend(&lease).await, Err(Error::LostLease), "it was given back");
    let lease = fixture.wait("w").await;
    assert_eq!((lease.next, lease.attempt), (1, 1));
    fixture.engine.ack(&lease).await.unwrap();
}

async fn a_buried_batch_waits_for_an_operator(kind: Kind) {
    let fixture = Fixture::new(kind);
    let engine = &fixture.engine;
    let sent = batch(&["one", "two"]);
    engine.enqueue(&sent).await.unwrap();
    assert!(engine.retry_dead(&sent.id).await.unwrap().is_none(), "it is not dead yet");
    let mut lease = fixture.lease("w").await.unwrap();
    engine.checkpoint(&mut lease, 1).await.unwrap();
    engine.bury(&lease, "it exploded").await.unwrap();
    assert!(fixture.lease("w").await.is_none());
    assert_eq!(engine.counts().await.unwrap(), Counts { dead: 1, ..Counts::default() });

    let dead = engine.list(Some(BatchState::Dead), 10).await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!((dead[0].id.as_str(), dead[0].next, dead[0].why.as_deref()), (&*sent.id, 1, Some("it exploded")));
    assert_eq!(dead[0].batch().unwrap(), sent);

    let retried = engine.retry_dead(&sent.id).await.unwrap().unwrap();
    assert_eq!((retried.state, retried.next, retried.batch().unwrap()), (BatchState::Dead, 1, sent.clone()));
    assert!(engine.retry_dead(&sent.id).await.unwrap().is_none(), "it is not dead any more");
    let lease = fixture.wait("w").await;
    assert_eq!((lease.next, lease.attempt), (1, 1), "it goes on where it died, with all attempts");
    assert_eq!(lease.batch, sent);
    engine.ack(&lease).await.unwrap();
    assert_eq!(engine.counts().await.unwrap(), Counts::default());
}

async fn one_failed_task_can_be_buried_alone(kind: Kind) {
    let fixture = Fixture::new(kind);
    let sent = batch(&["one", "two"]);
    fixture.engine.enqueue(&sent).await.unwrap();
    let mut lease = fixture.lease("w").await.unwrap();
    // The test makes the call twice, like a worker that is killed after the first call and tries again.
    for _ in 0..2 {
        fixture.engine.enqueue_dead(&lease.batch.only(0), "it failed").await.unwrap();
    }
    fixture.engine.checkpoint(&mut lease, 1).await.unwrap();
    fixture.engine.ack(&lease).await.unwrap();
    assert_eq!(fixture.engine.counts().await.unwrap(), Counts { dead: 1, ..Counts::default() });
    assert!(fixture.engine.retry_dead(&sent.only(0).id).await.unwrap().is_some());
    let again = fixture.wait("w").await;
    assert_eq!(names(&again), ["one"]);
    assert_eq!((again.next, again.attempt), (0, 1));
}

async fn an_operator_sees_and_removes_what_is_stored(kind: Kind) {
    let fixture = Fixture::new(kind);
    let operator = fixture.another();
    let sent = [batch(&["a"]), batch(&["b"]), batch(&["c"]), batch(&["d"])];
    for batch in &sent {
        fixture.engine.enqueue(batch).await.unwrap();
    }
    let held = fixture.lease("w").await.unwrap();
    let buried = fixture.lease("w").await.unwrap();
    fixture.engine.bury(&buried, "why").await.unwrap();

    assert_eq!(operator.counts().await.unwrap(), Counts { ready: 2, leased: 1, dead: 1, delayed: 0 });
    assert_eq!(operator.backlog().await.unwrap(), 3);
    let ids = async |state, limit| -> Vec<String> {
        operator.list(state, limit).await.unwrap().into_iter().map(|entry| entry.id).collect()
    };
    let [a, b, c, d] = &sent;
    assert_eq!(ids(Some(BatchState::Ready), 10).await, [&*c.id, &*d.id]);
    assert_eq!(ids(Some(BatchState::Ready), 1).await, [&*c.id]);
    assert_eq!(ids(Some(BatchState::Leased), 10).await, [&*a.id]);
    assert_eq!(ids(Some(BatchState::Dead), 10).await, [&*b.id]);
    assert_eq!(ids(Some(BatchState::Delayed), 10).await, [] as [&str; 0]);
    assert_eq!(ids(None, 10).await.len(), 4);
    assert_eq!(ids(None, 3).await.len(), 3);

    let shown = operator.show(&a.id).await.unwrap().unwrap();
    assert_eq!((shown.state, shown.next, shown.attempt), (BatchState::Leased, 0, 1));
    assert_eq!(shown.worker.as_deref(), Some("w"));
    let left = shown.left.unwrap_or_default();
    assert!(left > LONG / 2 && left <= LONG, "{left:?}");
    assert_eq!(shown.batch().unwrap(), *a);
    assert_eq!(operator.show(&b.id).await.unwrap().unwrap().state, BatchState::Dead);
    assert_eq!(operator.show(&c.id).await.unwrap().unwrap().state, BatchState::Ready);
    // In NATS, `*` and `>` are subjects that match every batch.
    for id in ["nothing", "*", ">", "", "a b", "a.b"] {
        assert!(operator.show(id).await.unwrap().is_none(), "{id:?}");
        assert!(operator.retry_dead(id).await.unwrap().is_none(), "{id:?}");
        assert!(operator.remove(id).await.unwrap().is_none(), "{id:?}");
    }

    for batch in &sent {
        let removed = operator.remove(&batch.id).await.unwrap().unwrap();
        assert_eq!((removed.next, removed.batch().unwrap()), (0, batch.clone()));
        assert!(operator.remove(&batch.id).await.unwrap().is_none());
    }
    assert_eq!(operator.counts().await.unwrap(), Counts::default());
    assert_eq!(fixture.engine.ack(&held).await, Err(Error::LostLease), "it was removed");
    assert!(fixture.lease("w").await.is_none());
}

async fn what_is_removed_says_which_tasks_had_ended(kind: Kind) {
    let fixture = Fixture::new(kind);
    let (engine, operator) = (&fixture.engine, fixture.another());
    // In the first case, a worker holds the batch. In the second case, the batch waits for its next attempt. In the
    // third case, the batch is dead.
    for wait in [None, Some(false), Some(true)] {
        let sent = batch(&["one", "two", "three"]);
        engine.enqueue(&sent).await.unwrap();
        let mut lease = fixture.wait("w").await;
        engine.checkpoint(&mut lease, 2).await.unwrap();
        match wait {
            None => {}
            Some(false) => engine.retry(&lease, LONG).await.unwrap(),
            Some(true) => engine.bury(&lease, "why").await.unwrap(),
        }
        let removed = operator.remove(&sent.id).await.unwrap().unwrap();
        assert_eq!((removed.next, removed.batch().unwrap()), (2, sent.clone()), "{wait:?}");
        assert_eq!(engine.checkpoint(&mut lease, 3).await, Err(Error::LostLease), "{wait:?}");
        assert!(operator.show(&sent.id).await.unwrap().is_none(), "{wait:?}");
    }
    // A checkpoint and a removal run at the same moment. Either the removed entry includes the checkpoint, or the
    // engine refuses the checkpoint.
    for _ in 0..20 {
        let sent = batch(&["one", "two"]);
        engine.enqueue(&sent).await.unwrap();
        let mut lease = fixture.wait("w").await;
        let (made, removed) = tokio::join!(engine.checkpoint(&mut lease, 1), operator.remove(&sent.id));
        let next = removed.unwrap().unwrap().next;
        assert_eq!(next, if made.is_ok() { 1 } else { 0 }, "{made:?}");
    }
}

/// An operator's command may have a shorter visibility timeout than the workers. The timeout of the command must not
/// shorten the workers' leases.
async fn an_operator_s_look_leaves_the_leases_of_others_as_they_are(kind: Kind) {
    let fixture = Fixture::visible_after(kind, LONG);
    let look = async || {
        let options = Options { visibility: Duration::from_millis(200), operator: true, ..Options::default() };
        let operator = if kind == Kind::Memory { fixture.another() } else { connect(&fixture.url, options).unwrap() };
        operator.list(None, 10).await.unwrap();
        operator.counts().await.unwrap()
    };
    look().await;
    let other = fixture.another();
    assert!(other.lease("w2", Duration::ZERO).await.unwrap().is_none());
    fixture.engine.enqueue(&batch(&["long"])).await.unwrap();
    let lease = fixture.lease("w1").await.unwrap();
    look().await;
    // With the operator's visibility timeout of 200 ms, the lease would have ended by now.
    assert!(other.lease("w2", Duration::from_secs(1)).await.unwrap().is_none());
    fixture.engine.ack(&lease).await.unwrap();
}
