//! Tests workers that are killed with `kill -9` while they hold batches. The file `server_kills.rs` tests killed
//! servers.

use std::env;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use epilogue_engines::{Counts, Options, connect};

use crate::fixture::{Fixture, Kind, LONG, batch};

on_every_engine!(sqlite: Sqlite, redis: Redis, nats: Nats; kills: [
    what_a_killed_worker_held_is_resumed_where_it_stood,
]);

const URL: &str = "EPILOGUE_TEST_ENGINE";
const VISIBILITY_S: &str = "EPILOGUE_TEST_VISIBILITY";
const HELD: usize = 5;

async fn what_a_killed_worker_held_is_resumed_where_it_stood(kind: Kind) {
    let fixture = Fixture::visible_after(kind, Duration::from_secs(6));
    for _ in 0..HELD {
        fixture.engine.enqueue(&batch(&["one", "two"])).await.unwrap();
    }
    let mut child = start_child(&fixture);
    child.kill().unwrap();
    child.wait().unwrap();
    for _ in 0..HELD {
        let lease = fixture.wait("survivor").await;
        assert_eq!((lease.next, lease.attempt), (1, 2), "the first task had ended, the second had begun");
        fixture.engine.ack(&lease).await.unwrap();
    }
    assert_eq!(fixture.engine.counts().await.unwrap(), Counts::default());
}

/// The SQLite engine notices that a process has died. So the next process that opens the file gets the batches
/// immediately, before the leases of the dead process end.
#[tokio::test]
async fn sqlite_takes_up_at_once_what_a_killed_host_left() {
    let fixture = Fixture::new(Kind::Sqlite);
    for _ in 0..HELD {
        fixture.engine.enqueue(&batch(&["one", "two"])).await.unwrap();
    }
    let mut child = start_child(&fixture);
    // The child process is alive, so another process that opens the file does not get the child's batches.
    assert!(fixture.another().lease("restarted", Duration::ZERO).await.unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
    let restarted = fixture.another();
    for _ in 0..HELD {
        let lease = restarted.lease("restarted", Duration::ZERO).await.unwrap().expect("it was not taken up");
        assert_eq!((lease.next, lease.attempt), (1, 2));
    }
}

/// Starts this test binary as a worker. When this function returns, the worker holds all batches.
fn start_child(fixture: &Fixture) -> Child {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "kills::the_worker_that_is_killed", "--ignored", "--nocapture"])
        .env(URL, &fixture.url)
        .env(VISIBILITY_S, fixture.options.visibility.as_secs().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("all are held")), "the child did not get so far");
    child
}

#[tokio::test]
#[ignore = "is run by the tests above, in a process of its own"]
async fn the_worker_that_is_killed() {
    let url = env::var(URL).expect("the parent sets it");
    let visibility = Duration::from_secs(env::var(VISIBILITY_S).unwrap().parse().unwrap());
    let engine = connect(&url, Options { visibility, ..Options::default() }).unwrap();
    let mut leases = Vec::new();
    for _ in 0..HELD {
        let mut lease = engine.lease("victim", LONG).await.unwrap().unwrap();
        engine.checkpoint(&mut lease, 1).await.unwrap();
        leases.push(lease);
    }
    println!("all are held");
    // If the parent process ends, the pipe closes. So the child process always ends, too.
    let _ = std::io::stdin().read(&mut [0]);
}
