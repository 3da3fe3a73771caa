//! Tests the SQLite engine while the machine's clock jumps, and after a restart of the machine.

use std::env;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use epilogue_engines::{BatchState, Counts, Error, Options, connect};
use rusqlite::{Connection, params};

use crate::fixture::{Fixture, Kind, LONG, batch};

const URL: &str = "EPILOGUE_TEST_ENGINE";
/// The environment variable with the path of the file from which libfaketime reads the offset of the clock.
const OFFSET: &str = "FAKETIME_TIMESTAMP_FILE";
/// The environment variable in which the parent process tells the child process the real time, in seconds since 1970.
/// The clock of the child process differs from the real time.
const NOW: &str = "EPILOGUE_TEST_NOW";
const HOUR: Duration = Duration::from_secs(3600);

fn path(fixture: &Fixture) -> &str {
    fixture.url.strip_prefix("sqlite:").unwrap().split('?').next().unwrap()
}

fn file(fixture: &Fixture) -> Connection {
    Connection::open(path(fixture)).unwrap()
}

/// Runs one of the ignored tests below in a child process. When the child process starts, its clock differs from the
/// real time by `offset`.
fn with_clock(fixture: &Fixture, offset: &str, test: &str) {
    let folder = tempfile::tempdir().unwrap();
    let clock = folder.path().join("clock");
    fs::write(&clock, offset).unwrap();
    let mut child = Command::new("faketime");
    // `-m` makes faketime work with threads. `-f` sets `FAKETIME`. This variable would take precedence over the file,
    // so `env -u` removes it again.
    child.args(["-m", "-f", "+0", "env", "-u", "FAKETIME"]).arg(env::current_exe().unwrap());
    child.args(["--exact", &format!("clocks::{test}"), "--ignored", "--nocapture"]);
    // The monotonic clocks must be real, as in the other processes.
    child.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1").env("FAKETIME_NO_CACHE", "1");
    child.env(NOW, since_1970().as_secs().to_string());
    let output = child.env(OFFSET, &clock).env(URL, &fixture.url).output();
    let output =
        output.unwrap_or_else(|error| panic!("faketime cannot be run ({error}): install Debian's package faketime"));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// Sets this process's wall clock forward or back. Checks that the wall clock jumps, and that the monotonic clock does
/// not jump.
fn set_clock(offset: &str) {
    let (wall, steady) = (since_1970(), Instant::now());
    fs::write(env::var(OFFSET).unwrap(), offset).unwrap();
    assert!(since_1970().abs_diff(wall) > HOUR / 2, "the clock does not jump");
    assert!(steady.elapsed() < HOUR / 2, "the steady clock jumps too");
}

/// If a batch was enqueued while the clock was an hour ahead, the batch is ready immediately, and a worker leases the
/// batch before newer batches.
#[tokio::test]
async fn what_is_ready_waits_for_no_clock() {
    let fixture = Fixture::new(Kind::Sqlite);
    with_clock(&fixture, "+3600", "enqueues_and_gives_back");
    fixture.engine.enqueue(&batch(&["now"])).await.unwrap();
    assert_eq!(fixture.engine.counts().await.unwrap(), Counts { ready: 4, ..Counts::default() });
    for name in ["enqueued", "retried", "released", "now"] {
        assert_eq!(fixture.lease("w").await.unwrap().batch.tasks[0].name, name);
    }
}

#[tokio::test]
#[ignore = "is run by the test above, with another clock"]
async fn enqueues_and_gives_back() {
    let engine = connect(&env::var(URL).unwrap(), Options::default()).unwrap();
    let parent: u64 = env::var(NOW).unwrap().parse().unwrap();
    assert!(since_1970().as_secs() > parent + 1800, "the clock is not ahead");
    for name in ["enqueued", "retried", "released"] {
        engine.enqueue(&batch(&[name])).await.unwrap();
    }
    let leases = [(); 3].map(async |()| engine.lease("w", Duration::ZERO).await.unwrap().unwrap());
    let [first, second, third] = leases;
    let (first, second, third) = (first.await, second.await, third.await);
    engine.retry(&second, Duration::ZERO).await.unwrap();
    engine.release(&third).await.unwrap();
    engine.release(&first).await.unwrap();
}

/// If the clock jumps, held leases do not end early and delays keep their length, in this process and in other
/// processes.
#[tokio::test]
async fn a_clock_that_jumps_ends_no_lease_and_no_delay() {
    let fixture = Fixture::visible_after(Kind::Sqlite, LONG);
    for name in ["held", "delayed"] {
        fixture.engine.enqueue(&batch(&[name])).await.unwrap();
    }
    let held = fixture.lease("w").await.unwrap();
    let delayed = fixture.lease("w").await.unwrap();
    fixture.engine.retry(&delayed, HOUR / 4).await.unwrap();
    with_clock(&fixture, "+0", "holds_while_the_clock_jumps");
    fixture.engine.extend(&held).await.unwrap();
    assert_eq!(fixture.engine.counts().await.unwrap(), Counts { leased: 1, delayed: 1, ..Counts::default() });
}

#[tokio::test]
#[ignore = "is run by the test above, with another clock"]
async fn holds_while_the_clock_jumps() {
    let options = Options { visibility: LONG, ..Options::default() };
    let url = env::var(URL).unwrap();
    let engine = connect(&url, options.clone()).unwrap();
    for offset in ["+7200", "-7200"] {
        engine.enqueue(&batch(&["mine"])).await.unwrap();
        let mut mine = engine.lease("w2", Duration::ZERO).await.unwrap().unwrap();
        set_clock(offset);
        for engine in [&engine, &connect(&url, options.clone()).unwrap()] {
            assert!(engine.lease("w2", Duration::ZERO).await.unwrap().is_none(), "{offset}");
            let expected = Counts { leased: 2, delayed: 1, ..Counts::default() };
            assert_eq!(engine.counts().await.unwrap(), expected, "{offset}");
        }
        engine.checkpoint(&mut mine, 1).await.unwrap();
        engine.ack(&mine).await.unwrap();
    }
}

fn now() -> i64 {
    since_1970().as_millis() as i64
}

/// If the machine has restarted, the stored times of leases and delays have no meaning, because the machine's clocks
/// start again at zero.
#[tokio::test]
async fn after_the_machine_s_restart_leases_have_ended_and_the_rest_of_a_delay_is_left() {
    let fixture = Fixture::new(Kind::Sqlite);
    let hour = HOUR.as_millis() as i64;
    // A worker gave each batch back with a delay of one hour. Each case has the time when the worker gave the batch
    // back, and the expected rest of the delay.
    let cases = [(now() - hour / 2, hour / 2), (now() - 2 * hour, 0), (now() + 10 * hour, hour)];
    let leased = batch(&["leased"]);
    fixture.engine.enqueue(&leased).await.unwrap();
    let _held = fixture.lease("w").await.unwrap();
    let delayed = cases.map(|_| batch(&["delayed"]));
    for (batch, (since, _)) in delayed.iter().zip(cases) {
        fixture.engine.enqueue(batch).await.unwrap();
        let lease = fixture.lease("w").await.unwrap();
        fixture.engine.retry(&lease, HOUR).await.unwrap();
        // This `due` is far from the present time of the clock, as after a restart of the machine.
        file(&fixture)
            .execute("UPDATE batches SET since = ?, due = 1 << 50 WHERE id = ?", params![since, batch.id])
            .unwrap();
    }
    file(&fixture).execute("UPDATE boot SET id = 'another'", []).unwrap();
    file(&fixture).execute("UPDATE batches SET due = 1 << 50 WHERE owner IS NOT NULL", []).unwrap();

    let engine = fixture.another();
    assert_eq!(engine.show(&leased.id).await.unwrap().unwrap().state, BatchState::Ready);
    for (batch, (_, expected)) in delayed.iter().zip(cases) {
        let shown = engine.show(&batch.id).await.unwrap().unwrap();
        let left = shown.left.unwrap_or_default().as_millis() as i64;
        assert!(left <= expected && left > expected - 60_000, "{left} of {expected} ms: {shown:?}");
    }
    drop(fixture.another());
    assert_eq!(engine.counts().await.unwrap(), Counts { ready: 2, delayed: 2, ..Counts::default() }, "and once only");
}

const VERSION_1: &str = "
    CREATE TABLE batches (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, next INTEGER NOT NULL DEFAULT 0,
        attempt INTEGER NOT NULL DEFAULT 0, generation INTEGER NOT NULL DEFAULT 0, due INTEGER NOT NULL,
        worker TEXT, owner TEXT, why TEXT
    ) STRICT;
    CREATE INDEX ready ON batches (due, seq) WHERE why IS NULL;
    CREATE INDEX owned ON batches (owner) WHERE owner IS NOT NULL;
    CREATE INDEX dead ON batches (seq) WHERE why IS NOT NULL;
    CREATE TABLE envelopes (seq INTEGER PRIMARY KEY, envelope BLOB NOT NULL) STRICT;
    CREATE TABLE owners (id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
    PRAGMA application_id = 0x4570696c;
    PRAGMA user_version = 1;
";

#[tokio::test]
async fn a_file_of_an_earlier_version_is_taken_over_once_nobody_uses_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tasks.db");
    let file = Connection::open(&path).unwrap();
    file.execute_batch(VERSION_1).unwrap();
    let stored = ["ready", "early", "delayed", "leased", "dead"].map(|name| batch(&[name, "next"]));
    let hour = HOUR.as_millis() as i64;
    // Each row has a batch's due time, number of attempts, owner, and the reason why the batch is dead. `early` was
    // enqueued while the clock was ahead.
    let rows = [
        (now() - 1000, 0, None, None),
        (now() + hour, 0, None, None),
        (now() + 9_000, 1, None, None),
        (now() + 20_000, 1, Some("gone"), None),
        (now(), 3, None, Some("it failed")),
    ];
    for (batch, (due, attempt, owner, why)) in stored.iter().zip(rows) {
        let row = params![batch.id, attempt, due, owner, why];
        file.execute("INSERT INTO batches (id, next, attempt, due, owner, why) VALUES (?, 1, ?, ?, ?, ?)", row)
            .unwrap();
        let envelope = batch.to_envelope().unwrap();
        file.execute("INSERT INTO envelopes VALUES (last_insert_rowid(), ?)", [envelope]).unwrap();
    }
    file.execute("INSERT INTO owners VALUES ('gone'), ('there')", []).unwrap();
    let owner = fs::File::create(folder.path().join("tasks.db-owner-there")).unwrap();
    owner.try_lock().unwrap();
    let url = format!("sqlite:{}", path.display());
    let open = || connect(&url, Options::default());
    let error = open().unwrap_err();
    let told =
        |why: &str| why.contains("a process of an earlier version of epilogue uses this file: end that process first");
    assert!(matches!(&error, Error::Unavailable(why) if told(why)), "{error:?}");
    drop(owner);
    let engine = open().unwrap();
    assert_eq!(engine.counts().await.unwrap(), Counts { ready: 3, delayed: 1, leased: 0, dead: 1 });
    let left = engine.show(&stored[2].id).await.unwrap().unwrap().left.unwrap();
    assert!(left <= Duration::from_secs(9), "{left:?}");
    for expected in [&stored[0], &stored[1], &stored[3], &stored[2]] {
        let lease = engine.lease("w", LONG).await.unwrap().unwrap();
        assert_eq!((&lease.batch, lease.next), (expected, 1));
        engine.ack(&lease).await.unwrap();
    }
    assert_eq!(engine.show(&stored[4].id).await.unwrap().unwrap().why.as_deref(), Some("it failed"));
}
