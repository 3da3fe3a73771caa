//! Tests the engine during a failover of Redis, as with Sentinel or a managed service. The old primary becomes a
//! replica and continues to answer. Afterwards, the address of the old primary leads to the new primary.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use epilogue_engines::{Counts, Error, Options, TaskEngine, connect};
use tokio::net::{TcpListener, TcpStream};

use crate::fixture::{LONG, batch};
use crate::servers::Server;

/// An address that forwards each new connection to one of two Redis servers.
struct Pair {
    servers: [Server; 2],
    leads_to: Arc<AtomicU16>,
    engine: Arc<dyn TaskEngine>,
}

fn port(server: &Server) -> u16 {
    server.url().rsplit(':').next().unwrap().parse().unwrap()
}

impl Pair {
    async fn new() -> Self {
        let servers = [Server::redis(), Server::redis()];
        let leads_to = Arc::new(AtomicU16::new(port(&servers[0])));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let target = leads_to.clone();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let port = target.load(Ordering::SeqCst);
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
                    tokio::io::copy_bidirectional(&mut client, &mut server).await.ok()
                });
            }
        });
        let engine = connect(&url, Options { visibility: LONG, ..Options::default() }).unwrap();
        let pair = Self { servers, leads_to, engine };
        pair.follow(1, Some(0)).await;
        pair
    }

    async fn ask<T: redis::FromRedisValue>(&self, server: usize, command: &[&str]) -> T {
        let client = redis::Client::open(self.servers[server].url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut call = redis::cmd(command[0]);
        command[1..].iter().for_each(|word| _ = call.arg(word));
        call.query_async(&mut connection).await.unwrap()
    }

    /// Makes one server the replica of `primary`. If `primary` is `None`, makes the server a primary.
    async fn follow(&self, server: usize, primary: Option<usize>) {
        let Some(primary) = primary else {
            return self.ask(server, &["REPLICAOF", "NO", "ONE"]).await;
        };
        let port = port(&self.servers[primary]).to_string();
        self.ask::<()>(server, &["REPLICAOF", "127.0.0.1", &port]).await;
        let mut again = tokio::time::interval(Duration::from_millis(20));
        while !self.ask::<String>(server, &["INFO", "replication"]).await.contains("master_link_status:up") {
            again.tick().await;
        }
    }

    /// Waits until the replica has all written data. Then makes the replica the new primary, and makes the address lead
    /// to the new primary. The old primary continues as a replica.
    async fn fail_over(&self) {
        let synced = || self.ask::<String>(1, &["INFO", "replication"]);
        let offset = async |text: String, name: &str| -> String {
            text.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned()
        };
        let mut again = tokio::time::interval(Duration::from_millis(20));
        loop {
            let primary = offset(self.ask(0, &["INFO", "replication"]).await, "master_repl_offset:").await;
            if offset(synced().await, "slave_repl_offset:").await == primary {
                break;
            }
            again.tick().await;
        }
        self.follow(1, None).await;
        self.leads_to.store(port(&self.servers[1]), Ordering::SeqCst);
        self.follow(0, Some(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_was_demoted_is_left_with_the_next_call() {
    let pair = Pair::new().await;
    let engine = &pair.engine;
    for name in ["one", "two"] {
        engine.enqueue(&batch(&[name])).await.unwrap();
    }
    let mut held = engine.lease("w", LONG).await.unwrap().unwrap();
    let other = engine.lease("w", LONG).await.unwrap().unwrap();
    // This call waits for a batch, so it opens another connection, which also leads to the old primary.
    assert!(engine.lease("w", Duration::from_millis(10)).await.unwrap().is_none());
    pair.fail_over().await;
    // Each kind of call below must notice the failover by itself.
    engine.checkpoint(&mut held, 1).await.unwrap();
    engine.ack(&held).await.unwrap();
    engine.ack(&other).await.unwrap();
    engine.enqueue(&batch(&["three"])).await.unwrap();
    let lease = engine.lease("w", LONG).await.unwrap().unwrap();
    assert_eq!(lease.batch.tasks[0].name, "three");
    engine.ack(&lease).await.unwrap();
    assert_eq!(engine.counts().await.unwrap(), Counts::default());
    assert_eq!(pair.ask::<u64>(1, &["XLEN", "{epilogue}:queue"]).await, 0, "and it was the new one that was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_waits_at_a_demoted_primary_goes_on_at_the_new_one() {
    let pair = Pair::new().await;
    pair.engine.counts().await.unwrap();
    let engine = pair.engine.clone();
    let waits = tokio::spawn(async move { engine.lease("w", LONG).await });
    let blocked = async || pair.ask::<String>(0, &["INFO", "clients"]).await.contains("blocked_clients:1");
    let mut again = tokio::time::interval(Duration::from_millis(10));
    while !blocked().await {
        again.tick().await;
    }
    pair.fail_over().await;
    pair.engine.enqueue(&batch(&["late"])).await.unwrap();
    assert_eq!(waits.await.unwrap().unwrap().unwrap().batch.tasks[0].name, "late");
}

/// While the address leads to a replica, each call fails within its time limit, and the error gives the reason.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_name_leads_to_a_replica_calls_say_so() {
    let pair = Pair::new().await;
    pair.leads_to.store(port(&pair.servers[1]), Ordering::SeqCst);
    for _ in 0..3 {
        let error = pair.engine.enqueue(&batch(&["lost"])).await.unwrap_err();
        assert!(matches!(&error, Error::Unavailable(why) if why.contains("read only replica")), "{error:?}");
    }
    pair.leads_to.store(port(&pair.servers[0]), Ordering::SeqCst);
    let sent = batch(&["one"]);
    let mut again = tokio::time::interval(Duration::from_millis(20));
    let end = Instant::now() + LONG;
    while let Err(error) = pair.engine.enqueue(&sent).await {
        assert!(Instant::now() < end, "{error}");
        again.tick().await;
    }
    assert_eq!(pair.engine.counts().await.unwrap().ready, 1);
}
