//! The file: how it is made, recognised and opened.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::{Error, Options, Result};

/// `PRAGMA user_version`. Another version's file is refused.
const VERSION: i64 = 1;

/// `PRAGMA application_id`: "Epil".
const APPLICATION: i64 = 0x4570_696c;

/// How soon a file that others hold is tried anew, where SQLite does not do so.
const AGAIN: Duration = Duration::from_millis(5);

/// The envelope has a table of its own, since SQLite writes a row anew with each change, and an envelope may be large.
const SCHEMA: &str = "
    CREATE TABLE batches (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        next INTEGER NOT NULL DEFAULT 0,
        attempt INTEGER NOT NULL DEFAULT 0,
        generation INTEGER NOT NULL DEFAULT 0, -- how often it has been leased
        due INTEGER NOT NULL,                  -- may be leased from then on, in ms since 1970
        worker TEXT,                           -- leased to
        owner TEXT,                            -- that worker's process
        why TEXT                               -- dead, because of
    ) STRICT;
    CREATE INDEX ready ON batches (due, seq) WHERE why IS NULL;
    CREATE INDEX owned ON batches (owner) WHERE owner IS NOT NULL;
    CREATE INDEX dead ON batches (seq) WHERE why IS NOT NULL;
    CREATE TABLE envelopes (seq INTEGER PRIMARY KEY, envelope BLOB NOT NULL) STRICT;
    CREATE TABLE owners (id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
";

/// Opens or makes the file. The options' timeout bounds the wait for other processes that write.
pub(super) fn open(path: &Path, synchronous: &str, options: &Options) -> Result<Connection> {
    let at = |why: &dyn std::fmt::Display| Error::Unavailable(format!("{}: {why}", path.display()));
    make(path, options.operator).map_err(|error| at(&error))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(|error| at(&error))?;
    // Shorter than a call waits, so that the call tells of it.
    let patience = options.timeout.mul_f64(0.8);
    connection.busy_timeout(patience).map_err(|error| at(&error))?;
    let foreign = |why: String| Error::Config(format!("{} {why}", path.display()));
    prepare(&mut connection, synchronous, patience).map_err(|error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => foreign("is no SQLite database".to_owned()),
        _ => at(&error),
    })?;
    let read = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(|error| at(&error));
    if read("application_id")? != APPLICATION {
        return Err(foreign("is a database of another program: name another file".to_owned()));
    }
    match read("user_version")? {
        VERSION => Ok(connection),
        other => {
            Err(foreign(format!("was written by another version of epilogue: its schema is {other}, not {VERSION}")))
        }
    }
}

/// Makes the file if there is none, since SQLite would let others read it; its journals get the same mode. A file that is there
/// is not opened: to close it would take away the locks that this process has on it ("How To Corrupt An SQLite Database File", 2.2).
fn make(path: &Path, operator: bool) -> io::Result<()> {
    // Until it is closed nobody else of this process has it open.
    static MAKING: Mutex<()> = Mutex::new(());
    let _alone = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    match path.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !operator => {
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map(drop)
        }
        found => found.map(drop),
    }
}

/// Makes the tables if there are none, of whatever program.
fn prepare(connection: &mut Connection, synchronous: &str, patience: Duration) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    transaction.commit()?;
    if tables == 0 || connection.pragma_query_value(None, "application_id", |row| row.get::<_, i64>(0))? == APPLICATION
    {
        write_ahead(connection, patience)?;
        connection.pragma_update(None, "synchronous", synchronous)?;
    }
    Ok(())
}

/// Puts the file into WAL mode. For this SQLite upgrades a lock, and where it does that it never waits for others, such as those
/// that open the new file at the same time.
fn write_ahead(connection: &Connection, patience: Duration) -> rusqlite::Result<()> {
    let end = Instant::now() + patience;
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error)
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) && Instant::now() < end =>
            {
                thread::sleep(AGAIN);
            }
            done => return done,
        }
    }
}

/// Removes a batch.
pub(super) fn delete(connection: &Connection, seq: i64) -> rusqlite::Result<usize> {
    connection.prepare_cached("DELETE FROM envelopes WHERE seq = ?")?.execute([seq])?;
    connection.prepare_cached("DELETE FROM batches WHERE seq = ?")?.execute([seq])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_is_the_default_and_normal_an_option() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tasks.db");
        for (query, expected) in [("", 2), ("?synchronous=full", 2), ("?synchronous=normal", 1)] {
            let (path, synchronous) = super::super::parse(&format!("sqlite:{}{query}", file.display())).unwrap();
            let connection = open(&path, synchronous, &Options::default()).unwrap();
            let read: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
            assert_eq!(read, expected, "{query}");
            let journal: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
            assert_eq!(journal, "wal");
        }
    }
}
