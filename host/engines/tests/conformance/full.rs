//! Tests full servers. A full server refuses new batches and keeps its stored batches. Workers and operators can still
//! work with the stored batches.

use epilogue_engines::{Counts, Error};

use crate::fixture::{Fixture, Kind, batch};

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_without_memory_refuses_what_is_new_and_is_worked_off() {
    let fixture = Fixture::new(Kind::Redis);
    let client = redis::Client::open(fixture.url.as_str()).unwrap();
    let mut server = client.get_multiplexed_async_connection().await.unwrap();
    let mut limit = async |bytes: u32| -> String {
        redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(bytes).query_async(&mut server).await.unwrap()
    };
    // This call creates the consumer group. A host makes the same call when it starts.
    assert_eq!(fixture.engine.counts().await.unwrap(), Counts::default());
    let sent = [batch(&["one"]), batch(&["two"]), batch(&["three"])];
    for batch in &sent {
        fixture.engine.enqueue(batch).await.unwrap();
    }
    assert_eq!(limit(1).await, "OK");
    let late = batch(&["late"]);
    let error = fixture.engine.enqueue(&late).await.unwrap_err();
    assert!(matches!(&error, Error::Unavailable(why) if why.contains("OOM")), "{error:?}");

    let operator = fixture.another();
    assert_eq!(operator.counts().await.unwrap().ready, 3);
    assert_eq!(operator.list(None, 10).await.unwrap().len(), 3);
    assert!(operator.show(&sent[2].id).await.unwrap().is_some());
    assert!(operator.remove(&sent[2].id).await.unwrap().is_some());
    for batch in &sent[..2] {
        let mut lease = fixture.wait("w").await;
        assert_eq!(lease.batch, *batch);
        fixture.engine.checkpoint(&mut lease, 1).await.unwrap();
        fixture.engine.ack(&lease).await.unwrap();
    }
    assert_eq!(limit(0).await, "OK");
    fixture.engine.enqueue(&late).await.unwrap();
    assert_eq!(fixture.wait("w").await.batch, late);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_may_lose_what_it_accepted_is_told_of() {
    let fixture = Fixture::new(Kind::Redis);
    let client = redis::Client::open(fixture.url.as_str()).unwrap();
    let mut server = client.get_multiplexed_async_connection().await.unwrap();
    let mut set = async |name: &str, value: &str| -> String {
        redis::cmd("CONFIG").arg("SET").arg(name).arg(value).query_async(&mut server).await.unwrap()
    };
    set("maxmemory-policy", "allkeys-lru").await;
    assert_eq!(fixture.engine.risks().await.unwrap(), [""; 0], "without a limit nothing is dropped");
    set("maxmemory", "100mb").await;
    set("appendonly", "no").await;
    let risks = fixture.engine.risks().await.unwrap();
    assert!(risks.len() == 2 && risks[0].contains("`appendonly yes`"), "{risks:?}");
    assert!(risks[1].contains("noeviction` instead of `allkeys-lru`"), "{risks:?}");
}

/// To end a stored batch, a worker must write to the store. So an operator should limit the size of the queue's stream,
/// and not the size of the whole store.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_of_nats_that_is_full_refuses_and_loses_nothing_and_is_worked_off() {
    let fixture = Fixture::new(Kind::Nats);
    let sent = [batch(&["one"]), batch(&["two"])];
    for batch in &sent {
        fixture.engine.enqueue(batch).await.unwrap();
    }
    let context = async_nats::jetstream::new(async_nats::connect(&fixture.url).await.unwrap());
    let mut queue = context.get_stream("EPILOGUE").await.unwrap();
    let mut config = queue.info().await.unwrap().config.clone();
    config.max_messages = 2;
    context.update_stream(config).await.unwrap();
    let third = batch(&["three"]);
    let error = fixture.engine.enqueue(&third).await.unwrap_err();
    assert!(matches!(&error, Error::Unavailable(why) if why.contains("maximum messages exceeded")), "{error:?}");
    for batch in &sent {
        let mut lease = fixture.wait("w").await;
        assert_eq!(lease.batch, *batch);
        fixture.engine.checkpoint(&mut lease, 1).await.unwrap();
        fixture.engine.ack(&lease).await.unwrap();
    }
    fixture.engine.enqueue(&third).await.unwrap();
    assert_eq!(fixture.wait("w").await.batch, third);
}
