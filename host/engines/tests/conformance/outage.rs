//! Tests empty servers that several processes use for the first time at the same moment, and servers that stop and come
//! back.

use std::time::{Duration, Instant};

use epilogue_engines::{Counts, Error, Options, connect};
use futures::future::try_join_all;

use crate::fixture::{Fixture, Kind, LONG, batch};
use crate::servers::Server;

on_every_engine!(redis: Redis, nats: Nats; outage: [
    all_who_come_to_a_new_server_at_once_are_served,
    a_killed_server_makes_the_engine_unavailable_in_bounded_time_and_it_recovers_by_itself,
    a_lease_survives_the_servers_restart,
    a_server_that_is_down_at_the_start_is_found_when_it_comes,
    a_server_that_does_not_answer_is_unavailable_in_bounded_time,
]);

/// The engine's time limit for a call. On a busy machine, a call may take much longer than this limit. If a call takes
/// longer than `BOUND`, the call hangs and the test fails.
const TIMEOUT: Duration = Duration::from_secs(2);
const BOUND: Duration = Duration::from_secs(20);

fn fixture(kind: Kind) -> Fixture {
    Fixture::with(kind, Options { visibility: LONG, timeout: TIMEOUT, ..Options::default() })
}

/// Checks that three calls fail with [`Error::Unavailable`], and that together they take less than [`BOUND`].
async fn unavailable(fixture: &Fixture) {
    let start = Instant::now();
    let error = fixture.engine.enqueue(&batch(&["lost"])).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    let error = fixture.engine.lease("w", Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    let error = fixture.engine.counts().await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
}

/// Enqueues a batch. Tries again until the engine accepts the batch, as a client does after a 503.
async fn recovers(fixture: &Fixture) {
    let deadline = Instant::now() + LONG;
    let again = batch(&["again"]);
    let mut client = tokio::time::interval(Duration::from_millis(20));
    while let Err(error) = fixture.engine.enqueue(&again).await {
        assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
        assert!(Instant::now() < deadline, "it did not recover: {error}");
        client.tick().await;
    }
}

/// In this test, a host and its workers start together, before any of them has created the streams.
async fn all_who_come_to_a_new_server_at_once_are_served(kind: Kind) {
    let fixture = Fixture::new(kind);
    let options = Options { timeout: LONG, ..Options::default() };
    let new = fixture.server.as_ref().unwrap().url_apart();
    for number in 1..=20 {
        let url = new.replace("{}", &number.to_string());
        let engines: Vec<_> = (0..8).map(|_| connect(&url, options.clone()).unwrap()).collect();
        let stored = engines.iter().map(async |engine| engine.enqueue(&batch(&["one"])).await);
        try_join_all(stored).await.unwrap();
        assert_eq!(engines[0].counts().await.unwrap(), Counts { ready: 8, ..Counts::default() });
    }
}

async fn a_killed_server_makes_the_engine_unavailable_in_bounded_time_and_it_recovers_by_itself(kind: Kind) {
    let mut fixture = fixture(kind);
    let sent = batch(&["before"]);
    fixture.engine.enqueue(&sent).await.unwrap();
    fixture.server.as_mut().unwrap().kill();
    unavailable(&fixture).await;
    fixture.server.as_mut().unwrap().restart();
    recovers(&fixture).await;
    let lease = fixture.wait("w").await;
    assert_eq!(lease.batch, sent, "what was accepted before is first");
    fixture.engine.ack(&lease).await.unwrap();
    let mut lease = fixture.wait("w").await;
    // The client of NATS may still send the batch `lost` after it has connected to the server again. This is correct,
    // because the caller got an error, so the engine promised nothing.
    if kind == Kind::Nats && lease.batch.tasks[0].name == "lost" {
        fixture.engine.ack(&lease).await.unwrap();
        lease = fixture.wait("w").await;
    }
    assert_eq!(lease.batch.tasks[0].name, "again");
    fixture.engine.ack(&lease).await.unwrap();
    assert_eq!(fixture.engine.counts().await.unwrap(), Counts::default());
}

async fn a_lease_survives_the_servers_restart(kind: Kind) {
    let mut fixture = fixture(kind);
    fixture.engine.enqueue(&batch(&["one", "two"])).await.unwrap();
    let mut lease = fixture.lease("w").await.unwrap();
    fixture.engine.checkpoint(&mut lease, 1).await.unwrap();
    fixture.server.as_mut().unwrap().restart();
    recovers(&fixture).await;
    fixture.engine.extend(&lease).await.unwrap();
    fixture.engine.retry(&lease, Duration::ZERO).await.unwrap();
    let ids =
        [fixture.wait("w").await, fixture.wait("w").await].map(|lease| (lease.batch.id, lease.next, lease.attempt));
    assert!(ids.contains(&(lease.batch.id.clone(), 1, 2)), "{ids:?}");
}

async fn a_server_that_is_down_at_the_start_is_found_when_it_comes(kind: Kind) {
    let mut fixture = fixture(kind);
    fixture.server.as_mut().unwrap().kill();
    fixture.engine = fixture.another();
    unavailable(&fixture).await;
    fixture.server.as_mut().unwrap().restart();
    recovers(&fixture).await;
    let lease = fixture.wait("w").await;
    fixture.engine.ack(&lease).await.unwrap();
}

/// In this test, a listener accepts connections and never answers, like a server that hangs or a network that drops
/// packets.
async fn a_server_that_does_not_answer_is_unavailable_in_bounded_time(kind: Kind) {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let scheme = if kind == Kind::Redis { "redis" } else { "nats" };
    let url = format!("{scheme}://user:secret@{}", silent.local_addr().unwrap());
    let engine = connect(&url, Options { visibility: LONG, timeout: TIMEOUT, ..Options::default() }).unwrap();
    let start = Instant::now();
    let error = engine.enqueue(&batch(&["lost"])).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
    let shown = format!("{error} {error:?} {engine:?}");
    assert!(!shown.contains("secret"), "{shown}");
}

/// The restart of Redis breaks each connection. The engine notices the broken connection only when the engine uses it
/// again.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_redis_between_two_requests_costs_none() {
    let mut fixture = fixture(Kind::Redis);
    for _ in 0..3 {
        fixture.engine.enqueue(&batch(&["before"])).await.unwrap();
        fixture.server.as_mut().unwrap().restart();
    }
    assert_eq!(fixture.engine.counts().await.unwrap(), Counts { ready: 3, ..Counts::default() });
}

#[tokio::test]
async fn nats_knows_the_user_and_the_password_of_the_url() {
    let server = Server::nats();
    let engine =
        |url: &str| connect(url, Options { visibility: LONG, timeout: TIMEOUT, ..Options::default() }).unwrap();
    let (one, two) = (server.url_apart().replace("{}", "1"), server.url_apart().replace("{}", "2"));
    engine(&one).enqueue(&batch(&["of one"])).await.unwrap();
    assert_eq!(engine(&one).counts().await.unwrap(), Counts { ready: 1, ..Counts::default() });
    assert_eq!(engine(&two).counts().await.unwrap(), Counts::default());
    let error = engine(&one.replace("a%20secret", "another")).counts().await.unwrap_err();
    assert!(matches!(&error, Error::Config(why) if why.contains("refuses the user")), "{error:?}");
    assert!(!error.to_string().contains("another"), "{error}");
}

/// If the program of a server is missing, the test says what to install: see [`Server`].
#[test]
fn the_servers_are_installed() {
    drop(Server::redis());
    drop(Server::nats());
}
