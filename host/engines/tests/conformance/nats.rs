//! Tests the NATS engine: lost streams and consumers, messages that the server delivers again, and URLs.

use std::time::Duration;

use async_nats::jetstream::{self, Context};
use epilogue_engines::{Batch, BatchState, Counts, Error, Lease, Options, TaskEngine, connect};
use futures::TryStreamExt as _;

use crate::fixture::{Fixture, Kind, LONG, batch};
use crate::servers::Server;

/// The time for which a test waits for an event that must not happen.
const SHORT: Duration = Duration::from_secs(1);

async fn context(fixture: &Fixture) -> Context {
    // The future is in a box, because it is large and part of many tests' futures.
    jetstream::new(Box::pin(async_nats::connect(&fixture.url)).await.unwrap())
}

async fn delete_consumer(context: &Context) {
    let queue = context.get_stream("EPILOGUE").await.unwrap();
    let names: Vec<String> = queue.consumer_names().try_collect().await.unwrap();
    assert_eq!(names.len(), 1);
    queue.delete_consumer(&names[0]).await.unwrap();
}

/// Runs the remaining tasks of a batch.
async fn run(engine: &dyn TaskEngine, lease: &mut Lease) -> Vec<String> {
    let mut ran = Vec::new();
    while let Some(task) = lease.task() {
        ran.push(task.name.clone());
        let next = lease.next + 1;
        engine.checkpoint(lease, next).await.unwrap();
    }
    engine.ack(lease).await.unwrap();
    ran
}

/// The part of the store that a test removes while workers run tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    Everything,
    Stream(&'static str),
    Consumer,
}

const ALL: [Lost; 6] = [
    Lost::Everything,
    Lost::Stream("EPILOGUE"),
    Lost::Stream("EPILOGUE_STATE"),
    Lost::Stream("EPILOGUE_DONE"),
    Lost::Stream("EPILOGUE_DEAD"),
    Lost::Consumer,
];

async fn lose(fixture: &mut Fixture, lost: Lost) {
    match lost {
        Lost::Everything => {
            let server = fixture.server.as_mut().unwrap();
            server.kill_and_empty();
            server.restart();
        }
        Lost::Stream(name) => drop(context(fixture).await.delete_stream(name).await.unwrap()),
        Lost::Consumer => delete_consumer(&context(fixture).await).await,
    }
}

/// Enqueues a batch. Tries again until the connection is back, as a client does after a 503.
async fn enqueue(fixture: &Fixture, lost: Lost, batch: &Batch) {
    let mut client = tokio::time::interval(Duration::from_millis(20));
    while let Err(error) = fixture.engine.enqueue(batch).await {
        assert_eq!(lost, Lost::Everything, "{error}");
        assert!(error.to_string().contains("connection"), "{error}");
        client.tick().await;
    }
}

/// No matter which part of the store is lost, the running processes continue to store the tasks of requests and to run
/// tasks.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_lost_amid_work_is_made_anew_and_work_goes_on() {
    for lost in ALL {
        let mut fixture = Fixture::new(Kind::Nats);
        let worker = fixture.another();
        fixture.engine.enqueue(&batch(&["one", "two", "three"])).await.unwrap();
        fixture.engine.enqueue(&batch(&["doomed"])).await.unwrap();
        let mut held = worker.lease("w", LONG).await.unwrap().unwrap();
        worker.checkpoint(&mut held, 1).await.unwrap();
        let doomed = worker.lease("w", LONG).await.unwrap().unwrap();

        lose(&mut fixture, lost).await;
        let later = batch(&["later"]);
        enqueue(&fixture, lost, &later).await;
        while worker.counts().await.is_err() {
            tokio::task::yield_now().await;
        }
        // A worker continues with the batches that it holds.
        worker.extend(&held).await.unwrap();
        assert_eq!(run(&*worker, &mut held).await, ["two", "three"], "{lost:?}");
        worker.bury(&doomed, "it failed").await.unwrap();

        let mut lease = worker.lease("w", LONG).await.unwrap().unwrap();
        assert_eq!((&lease.batch, lease.next, lease.attempt), (&later, 0, 1), "{lost:?}");
        assert_eq!(run(&*worker, &mut lease).await, ["later"]);
        assert!(worker.lease("w", Duration::ZERO).await.unwrap().is_none(), "{lost:?}");
        assert_eq!(worker.counts().await.unwrap(), Counts { dead: 1, ..Counts::default() }, "{lost:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_waits_notices_what_is_lost() {
    for lost in [Lost::Stream("EPILOGUE"), Lost::Consumer] {
        let mut fixture = Fixture::new(Kind::Nats);
        let worker = fixture.another();
        worker.counts().await.unwrap();
        let waiting = tokio::spawn(async move { worker.lease("w", LONG).await });
        lose(&mut fixture, lost).await;
        let sent = batch(&["one"]);
        fixture.engine.enqueue(&sent).await.unwrap();
        assert_eq!(waiting.await.unwrap().unwrap().unwrap().batch, sent, "{lost:?}");
    }
}

/// If a queue is created again, its messages get the same numbers as the messages of the old queue.
#[tokio::test(flavor = "multi_thread")]
async fn the_batches_of_a_queue_that_was_made_anew_are_not_taken_for_those_of_the_old_one() {
    let mut fixture = Fixture::new(Kind::Nats);
    let old = fixture.another();
    for _ in 0..2 {
        fixture.engine.enqueue(&batch(&["one", "two", "three"])).await.unwrap();
    }
    let mut ends = old.lease("w", LONG).await.unwrap().unwrap();
    let mut dies = old.lease("w", LONG).await.unwrap().unwrap();
    for lease in [&mut ends, &mut dies] {
        old.checkpoint(lease, 2).await.unwrap();
    }
    lose(&mut fixture, Lost::Stream("EPILOGUE")).await;
    let new = fixture.another();
    let sent = [batch(&["a", "b", "c"]), batch(&["d", "e", "f"])];
    for batch in &sent {
        new.enqueue(batch).await.unwrap();
    }
    // In the new queue, the number in this acknowledgment is the number of another batch, which has not run.
    old.ack(&ends).await.unwrap();
    assert_eq!(new.counts().await.unwrap(), Counts { ready: 2, ..Counts::default() });
    for batch in &sent {
        let mut lease = new.lease("w2", LONG).await.unwrap().unwrap();
        assert_eq!((&lease.batch, lease.next, lease.attempt), (batch, 0, 1));
        assert_eq!(run(&*new, &mut lease).await.len(), 3);
    }
}

/// Puts the message of a batch into the queue again. A server that was killed also delivers a message again, if the
/// server has forgotten that the batch has ended.
async fn deliver_again(fixture: &Fixture, sent: &Batch) {
    let subject = format!("epilogue.ready.{}", sent.id);
    let envelope = sent.to_envelope().unwrap();
    context(fixture).await.publish(subject, envelope.into()).await.unwrap().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_has_ended_is_only_confirmed_when_it_is_delivered_again() {
    let fixture = Fixture::new(Kind::Nats);
    let [done, dead, removed] = ["done", "dead", "removed"].map(|name| batch(&[name]));
    for batch in [&done, &dead, &removed] {
        fixture.engine.enqueue(batch).await.unwrap();
    }
    fixture.engine.ack(&fixture.wait("w").await).await.unwrap();
    fixture.engine.bury(&fixture.wait("w").await, "it failed").await.unwrap();
    assert!(fixture.engine.remove(&removed.id).await.unwrap().is_some());
    for batch in [&done, &dead, &removed] {
        deliver_again(&fixture, batch).await;
    }
    assert!(fixture.engine.lease("w", SHORT).await.unwrap().is_none());
    assert_eq!(fixture.engine.counts().await.unwrap(), Counts { dead: 1, ..Counts::default() });

    // A retry by an operator starts another life of the batch, and this life ends, too.
    for attempt in 1..=2 {
        assert!(fixture.engine.retry_dead(&dead.id).await.unwrap().is_some());
        deliver_again(&fixture, &dead).await;
        let lease = fixture.wait("w").await;
        assert_eq!((&lease.batch, lease.next, lease.attempt), (&dead, 0, 1));
        match attempt {
            1 => fixture.engine.bury(&lease, "again").await.unwrap(),
            _ => fixture.engine.ack(&lease).await.unwrap(),
        }
        deliver_again(&fixture, &dead).await;
        assert!(fixture.engine.lease("w", SHORT).await.unwrap().is_none());
    }
    assert_eq!(fixture.engine.counts().await.unwrap(), Counts::default());
    let left = context(&fixture).await.get_stream("EPILOGUE_STATE").await.unwrap();
    let mut left = left.info_with_subjects("epilogue.state.*").await.unwrap();
    let left: Vec<_> = (&mut left).try_collect().await.unwrap();
    assert!(left.iter().all(|(subject, _)| subject == "epilogue.state.~"), "{left:?}");
}

/// The test removes the consumer, and the engine creates a new consumer. The new consumer delivers batches that workers
/// hold. A server that was killed also delivers batches that workers hold.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_lasts_whatever_the_server_has_forgotten() {
    let fixture = Fixture::visible_after(Kind::Nats, Duration::from_secs(4));
    let (one, other) = (fixture.another(), fixture.another());
    fixture.engine.enqueue(&batch(&["one", "two"])).await.unwrap();
    let mut lease = one.lease("w1", LONG).await.unwrap().unwrap();
    for next in 1..=2 {
        delete_consumer(&context(&fixture).await).await;
        assert!(other.lease("w2", SHORT).await.unwrap().is_none(), "it was taken from its owner");
        assert!(one.lease("w1", SHORT).await.unwrap().is_none(), "its owner has it already");
        one.extend(&lease).await.unwrap();
        one.checkpoint(&mut lease, next).await.unwrap();
    }
    drop(lease);
    let taken = other.lease("w2", LONG).await.unwrap().unwrap();
    assert_eq!((taken.next, taken.attempt), (2, 2));
    other.ack(&taken).await.unwrap();
    assert_eq!(other.counts().await.unwrap(), Counts::default());
}

/// In this test, the process does not extend its lease in time, as during a long pause of the process.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_is_not_leased_what_it_holds() {
    let fixture = Fixture::visible_after(Kind::Nats, Duration::from_millis(500));
    fixture.engine.enqueue(&batch(&["one"])).await.unwrap();
    let lease = fixture.wait("w").await;
    assert!(fixture.engine.lease("w", 3 * SHORT).await.unwrap().is_none(), "it runs the batch already");
    fixture.engine.extend(&lease).await.unwrap();
    fixture.engine.ack(&lease).await.unwrap();
    assert_eq!(fixture.engine.counts().await.unwrap(), Counts::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delay_lasts_whatever_the_server_has_forgotten() {
    let mut fixture = Fixture::visible_after(Kind::Nats, SHORT);
    let (day, soon) = (batch(&["in a day"]), batch(&["soon"]));
    fixture.engine.enqueue(&day).await.unwrap();
    fixture.engine.retry(&fixture.wait("w").await, Duration::from_secs(24 * 60 * 60)).await.unwrap();
    let delayed = async |fixture: &Fixture| {
        assert!(fixture.another().lease("w", 2 * SHORT).await.unwrap().is_none(), "it came too early");
        let shown = fixture.another().show(&day.id).await.unwrap().unwrap();
        assert_eq!((shown.state, shown.attempt, shown.worker), (BatchState::Delayed, 1, None));
        let listed = fixture.another().list(Some(BatchState::Delayed), 10).await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(fixture.another().counts().await.unwrap(), Counts { delayed: 1, ..Counts::default() });
    };
    delayed(&fixture).await;
    fixture.server.as_mut().unwrap().restart();
    delayed(&fixture).await;
    delete_consumer(&context(&fixture).await).await;
    delayed(&fixture).await;

    fixture.engine = fixture.another();
    fixture.engine.enqueue(&soon).await.unwrap();
    let lease = fixture.wait("w").await;
    let start = tokio::time::Instant::now();
    fixture.engine.retry(&lease, 3 * SHORT).await.unwrap();
    delete_consumer(&context(&fixture).await).await;
    let lease = fixture.wait("w").await;
    assert_eq!((lease.batch, lease.attempt), (soon, 2));
    assert!(start.elapsed() > 3 * SHORT - Duration::from_millis(50), "it came after {:?}", start.elapsed());
}

fn engine(url: &str) -> std::sync::Arc<dyn TaskEngine> {
    connect(url, Options { timeout: 2 * SHORT, ..Options::default() }).unwrap()
}

#[tokio::test]
async fn what_stands_alone_before_the_host_is_a_token() {
    let server = Server::nats_with("authorization { token: \"s3/cret\" }\n".to_owned());
    let url = |who: &str| server.url().replace("//", &format!("//{who}"));
    engine(&url("s3%2Fcret@")).enqueue(&batch(&["one"])).await.unwrap();
    for who in ["another-secret@", "s3%2Fcret:a-secret@", ""] {
        let engine = engine(&url(who));
        let error = engine.counts().await.unwrap_err();
        assert!(
            matches!(&error, Error::Config(why) if why.contains("refuses the user, password or token")),
            "{error:?}"
        );
        let shown = format!("{error} {error:?} {engine:?}");
        assert!(shown.contains("127.0.0.1") && !shown.contains("cret"), "{shown}");
    }
}

/// Listens on a port, and answers each connection with `says`. If `first` is true, the answer comes as soon as the
/// client has connected. If `first` is false, the answer comes after the client's first bytes.
fn another_program(says: &'static [u8], first: bool) -> String {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://user:secret@{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                if first || stream.read(&mut [0; 16]).is_ok_and(|length| length > 0) {
                    _ = stream.write_all(says);
                    _ = stream.read(&mut [0; 16]);
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn mistakes_in_the_url_are_told_from_a_server_that_is_down() {
    let without = "no_auth_user: u\naccounts { a { users: [{ user: u, password: p }] } }\n";
    let without = Server::nats_with(without.to_owned());
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (url, named) in [
        (another_program(b"-ERR unknown command\r\n", false), Some("a program other than NATS")),
        (another_program(b"HTTP/1.1 400 Bad Request\r\n\r\n", false), Some("a program other than NATS")),
        (another_program(b"SSH-2.0-OpenSSH_9.2\r\n", true), Some("a program other than NATS")),
        ("nats://user:secret@a..b".to_owned(), Some("the host is not known")),
        (without.url(), Some("`--jetstream`")),
        (format!("nats://user:secret@{free}"), None),
    ] {
        let error = engine(&url).counts().await.unwrap_err();
        match named {
            Some(named) => assert!(matches!(&error, Error::Config(why) if why.contains(named)), "{url}: {error:?}"),
            None => assert!(matches!(&error, Error::Unavailable(_)), "{url}: {error:?}"),
        }
        let host = url.rsplit(['/', '@']).next().unwrap();
        assert!(named.is_none() || error.to_string().contains(host), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
