//! `cargo bench --bench key_value` measures a guest's calls to a key-value store, and SQLite alone for comparison.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on should fail")]

#[path = "parts/guests.rs"]
mod guests;

use std::time::{Duration, Instant};

use epilogue::testing::TestHost;
use rusqlite::Connection;

/// The number of calls in one request.
const CALLS: u32 = 1_000;
/// The number of equal requests in one measurement. The result is the time of the shortest request.
const ROUNDS: usize = 15;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let host = || TestHost::component(guests::KEY_VALUE).more("key_value_stores = [\"default\"]").threads(1);
    let (file, memory) = (host().state_dir(folder.path()).start(), host().start());
    println!("{:<40} {:>8} {:>8}  µs", "place", "get", "set");
    for (place, host) in [("a file", file), ("memory", memory)] {
        for version in ["/v2", "/v3"] {
            let [get, set] = ["get:a", "set:a:1"].map(|call| of_guest(&host, version, call));
            println!("{:<40} {get:>8.1} {set:>8.1}", format!("a guest, {version}, {place}"));
        }
    }
    let [get, set] = of_sqlite(Connection::open(folder.path().join("plain.db")).unwrap());
    println!("{:<40} {get:>8.1} {set:>8.1}", "rusqlite itself, a file");
    let [get, set] = of_sqlite(Connection::open_in_memory().unwrap());
    println!("{:<40} {get:>8.1} {set:>8.1}", "rusqlite itself, memory");
}

/// Returns the microseconds that one call from a guest to the key-value store takes. Measures a request with many calls
/// and a request without these calls, and divides the difference by the number of calls.
fn of_guest(host: &TestHost, version: &str, call: &str) -> f64 {
    let path = |calls: u32| {
        let calls = vec![call; calls as usize].join(",");
        format!("{version}?open:default,set:a:1{}{calls}", if calls.is_empty() { "" } else { "," })
    };
    let took = |path: &str| {
        shortest(|| {
            host.get(path).drained();
        })
    };
    microseconds(took(&path(CALLS)).saturating_sub(took(&path(0))))
}

/// Returns the microseconds that a read and a write take with SQLite alone. As in the host's store, each read and each
/// write has its own transaction.
fn of_sqlite(connection: Connection) -> [f64; 2] {
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE spin_key_value (store TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL,
             PRIMARY KEY (store, key))",
        )
        .unwrap();
    let write = || {
        let mut set = connection
            .prepare_cached(
                "INSERT INTO spin_key_value VALUES ('default', 'a', ?)
                 ON CONFLICT (store, key) DO UPDATE SET value = excluded.value",
            )
            .unwrap();
        set.execute([b"1"]).unwrap();
    };
    write();
    let read = || {
        let mut get = connection
            .prepare_cached("SELECT value FROM spin_key_value WHERE store = 'default' AND key = 'a'")
            .unwrap();
        get.query_row([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
    };
    let many = |call: &dyn Fn()| microseconds(shortest(|| (0..CALLS).for_each(|_| call())));
    [many(&read), many(&write)]
}

fn shortest(mut work: impl FnMut()) -> Duration {
    let times = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed()
    });
    times.min().unwrap_or_default()
}

fn microseconds(all: Duration) -> f64 {
    all.as_secs_f64() * 1e6 / f64::from(CALLS)
}
