//! Runs random sequences of calls on an engine, and checks that the engine gives the same results as the engine in
//! memory.
//!
//! The NATS engine is not compared with the engine in memory, because NATS takes a moment until it delivers a returned
//! batch again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use epilogue_engines::{Batch, Entry, Error, Lease, Memory, Result, TaskEngine};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::fixture::{Fixture, Kind, batch};

const BATCHES: usize = 2;

/// One step of a random sequence of calls.
#[derive(Debug, Clone, Copy)]
enum Step {
    Enqueue,
    EnqueueDead,
    LeaseAll,
    Extend,
    Checkpoint,
    Ack,
    Retry,
    Release,
    Bury,
    RetryDead,
    Remove,
    /// Acknowledges a batch with the second newest lease, like a worker that has lost its lease.
    StaleAck,
    StaleCheckpoint,
}

fn steps() -> impl Strategy<Value = Vec<(Step, usize)>> {
    use Step::*;
    let step = prop_oneof![
        3 => prop_oneof![Just(Enqueue), Just(Enqueue), Just(EnqueueDead)],
        4 => Just(LeaseAll),
        6 => prop_oneof![Just(Extend), Just(Checkpoint), Just(Ack), Just(Retry), Just(Release), Just(Bury)],
        2 => prop_oneof![Just(RetryDead), Just(Remove)],
        2 => prop_oneof![Just(StaleAck), Just(StaleCheckpoint)],
    ];
    vec((step, 0..BATCHES), 1..60)
}

/// An engine, and all leases that the engine has given for each batch, the oldest lease first.
struct Subject {
    engine: Arc<dyn TaskEngine>,
    leases: BTreeMap<String, Vec<Lease>>,
}

impl Subject {
    fn new(engine: Arc<dyn TaskEngine>) -> Self {
        Self { engine, leases: BTreeMap::new() }
    }

    /// Makes the call of one step, and returns its result as text.
    async fn step(&mut self, step: Step, batch: &Batch) -> String {
        let engine = self.engine.clone();
        let leases = self.leases.entry(batch.id.clone()).or_default();
        let count = leases.len();
        let stale = if count > 1 { leases.get_mut(count - 2) } else { None };
        let outcome: Result<Vec<String>> = match (step, stale) {
            (Step::Enqueue, _) => engine.enqueue(batch).await.map(|()| vec![]),
            (Step::EnqueueDead, _) => engine.enqueue_dead(batch, "model").await.map(|()| vec![]),
            (Step::RetryDead, _) => engine.retry_dead(&batch.id).await.map(|entry| vec![at(entry)]),
            (Step::Remove, _) => engine.remove(&batch.id).await.map(|entry| vec![at(entry)]),
            (Step::LeaseAll, _) => self.lease_all().await,
            (Step::StaleAck, Some(stale)) => engine.ack(stale).await.map(|()| vec![]),
            (Step::StaleCheckpoint, Some(stale)) => engine.checkpoint(stale, 2).await.map(|()| vec![]),
            (step, _) => match leases.last_mut() {
                None => Ok(vec!["no lease".to_owned()]),
                Some(lease) => act(&*engine, step, lease).await.map(|()| vec![]),
            },
        };
        assert!(!matches!(outcome, Err(Error::Unavailable(_) | Error::Corrupt(_))), "{outcome:?}");
        format!("{outcome:?}")
    }

    async fn lease_all(&mut self) -> Result<Vec<String>> {
        let mut leased = Vec::new();
        while let Some(lease) = self.engine.lease("model", Duration::ZERO).await? {
            assert!(leased.len() < BATCHES, "a batch is leased twice");
            leased.push(format!("{} next {} attempt {}", lease.batch.id, lease.next, lease.attempt));
            self.leases.entry(lease.batch.id.clone()).or_default().push(lease);
        }
        // An engine promises no order between the batches of different requests.
        leased.sort();
        Ok(leased)
    }

    /// Returns all stored batches as text.
    async fn stored(&self) -> Vec<String> {
        let entries = self.engine.list(None, 100).await.unwrap();
        let counts = self.engine.counts().await.unwrap();
        let mut stored: Vec<_> = entries
            .iter()
            .map(|entry| format!("{} {} {} {} {:?}", entry.id, entry.state, entry.next, entry.attempt, entry.why))
            .collect();
        stored.sort();
        stored.push(format!("{counts:?}"));
        stored
    }
}

/// Returns the id and the next task of the batch that a call has retried or removed, as text.
fn at(entry: Option<Entry>) -> String {
    entry.map_or_else(|| "none".to_owned(), |entry| format!("{} next {}", entry.id, entry.next))
}

async fn act(engine: &dyn TaskEngine, step: Step, lease: &mut Lease) -> Result<()> {
    match step {
        Step::Extend => engine.extend(lease).await,
        Step::Checkpoint => {
            let next = (lease.next + 1).min(3);
            engine.checkpoint(lease, next).await
        }
        Step::Ack => engine.ack(lease).await,
        Step::Retry => engine.retry(lease, Duration::ZERO).await,
        Step::Release => engine.release(lease).await,
        _ => engine.bury(lease, "model").await,
    }
}

fn follows_the_model(kind: Kind) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    let fixture = Fixture::new(kind);
    let config = Config { cases: 200, failure_persistence: None, ..Config::default() };
    let history = |steps: Vec<(Step, usize)>| {
        runtime.block_on(async {
            let batches: Vec<_> = (0..BATCHES).map(|_| batch(&["one", "two", "three"])).collect();
            let mut model = Subject::new(Arc::new(Memory::new(fixture.options.clone())));
            let mut subject = Subject::new(fixture.engine.clone());
            for (step, index) in steps {
                let expected = model.step(step, &batches[index]).await;
                prop_assert_eq!(subject.step(step, &batches[index]).await, expected, "{:?} of {}", step, index);
            }
            prop_assert_eq!(subject.stored().await, model.stored().await);
            Ok(())
        })?;
        Ok(())
    };
    let clean = |steps| {
        let result = history(steps);
        runtime.block_on(async {
            for entry in fixture.engine.list(None, 100).await.unwrap() {
                fixture.engine.remove(&entry.id).await.unwrap();
            }
        });
        result
    };
    TestRunner::new(config).run(&steps(), clean).unwrap();
}

#[test]
fn sqlite_follows_the_model() {
    follows_the_model(Kind::Sqlite);
}

#[test]
fn redis_follows_the_model() {
    follows_the_model(Kind::Redis);
}
