//! Tests lists that are longer than the page that an engine reads in one step.

use std::collections::HashSet;

use epilogue_engines::{BatchState, Entry};
use futures::future::join_all;

use crate::fixture::{Fixture, Kind, batch};

on_every_engine!(memory: Memory, sqlite: Sqlite, redis: Redis, nats: Nats; pages: [
    a_list_of_several_pages_is_whole_and_in_order,
]);

/// A number of batches that fills more than two pages.
const MANY: usize = 1_001;

async fn a_list_of_several_pages_is_whole_and_in_order(kind: Kind) {
    let fixture = Fixture::new(kind);
    let dead: Vec<_> = (0..MANY).map(|_| batch(&["dead"])).collect();
    for stored in join_all(dead.iter().map(|batch| fixture.engine.enqueue_dead(batch, "why"))).await {
        stored.unwrap();
    }
    let ready: Vec<_> = (0..MANY).map(|_| batch(&["ready"])).collect();
    for batch in &ready {
        fixture.engine.enqueue(batch).await.unwrap();
    }
    let operator = fixture.another();
    let list = async |state, limit| operator.list(state, limit).await.unwrap();
    let ids = |entries: Vec<Entry>| entries.into_iter().map(|entry| entry.id).collect::<Vec<_>>();
    let sent: Vec<_> = ready.iter().map(|batch| batch.id.clone()).collect();
    assert_eq!(ids(list(Some(BatchState::Ready), usize::MAX).await), sent);
    assert_eq!(ids(list(Some(BatchState::Ready), MANY - 1).await), sent[..MANY - 1]);
    let sent: HashSet<_> = dead.iter().map(|batch| batch.id.clone()).collect();
    let listed = ids(list(Some(BatchState::Dead), usize::MAX).await);
    assert_eq!((listed.len(), HashSet::from_iter(listed)), (MANY, sent));
    assert_eq!(list(Some(BatchState::Dead), MANY - 1).await.len(), MANY - 1);
    assert_eq!(list(None, usize::MAX).await.len(), 2 * MANY);
    assert_eq!(list(None, MANY + 1).await.len(), MANY + 1);
}
