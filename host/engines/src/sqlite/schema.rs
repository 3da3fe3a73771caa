//! Creates and opens the database file, and recognizes files of other programs and of other versions.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::{clock, owner};
use crate::database::write_ahead;
use crate::{Error, Options, Result};

/// The version of the database's tables, which is stored in `PRAGMA user_version`. The engine converts a file of
/// version 1 to this version, and refuses files of all other versions.
const VERSION: i64 = 2;

/// The number that identifies a database file of this engine, which is stored in `PRAGMA application_id`. Its bytes
/// spell "Epil".
const APPLICATION: i64 = 0x4570_696c;

/// The statements that create the tables. A separate table contains the envelopes, because SQLite writes a whole row at
/// each change, and an envelope may be large.
const SCHEMA: &str = "
    CREATE TABLE batches (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        next INTEGER NOT NULL DEFAULT 0,
        attempt INTEGER NOT NULL DEFAULT 0,
        generation INTEGER NOT NULL DEFAULT 0, -- how often it has been leased
        -- When it may be leased: 0 is now. Else in ms since the machine was started, by CLOCK_MONOTONIC if it is leased, and by
        -- CLOCK_BOOTTIME if it is delayed.
        due INTEGER NOT NULL,
        worker TEXT,                           -- leased to
        owner TEXT,                            -- that worker's process
        why TEXT,                              -- dead, because of
        since INTEGER NOT NULL DEFAULT 0,      -- delayed at this time, in ms since 1970
        delay INTEGER NOT NULL DEFAULT 0       -- for so many ms; with `since` it tells the rest after the machine's restart
    ) STRICT;
    CREATE INDEX dead ON batches (seq) WHERE why IS NOT NULL;
    CREATE TABLE envelopes (seq INTEGER PRIMARY KEY, envelope BLOB NOT NULL) STRICT;
    CREATE TABLE owners (id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
";

/// The statements that convert a file of version 1 to version 2. In version 1, `due` was in milliseconds since 1970,
/// and no delay was longer than 10 s.
const SINCE_1: &str = "
    ALTER TABLE batches ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE batches ADD COLUMN delay INTEGER NOT NULL DEFAULT 0;
    DROP INDEX ready;
    DROP INDEX owned;
    UPDATE batches SET due = 0, delay = 10000, since = due - 10000 WHERE attempt > 0 AND why IS NULL AND owner IS NULL;
    UPDATE batches SET due = 1 WHERE delay > 0;
    UPDATE batches SET due = 0 WHERE delay = 0;
";

/// The statements that create the indexes and the table `boot` of version 2. The engine runs these statements for each
/// new file, and for each converted file of version 1.
const SINCE_2: &str = "
    CREATE INDEX ready ON batches (due, seq) WHERE why IS NULL AND owner IS NULL;
    CREATE INDEX leased ON batches (due) WHERE owner IS NOT NULL;
    CREATE TABLE boot (id TEXT NOT NULL) STRICT; -- the start of the machine that `due` counts from
";

/// Opens the database file, or creates the file if it does not exist. If other processes are writing to the file, waits
/// until they have finished, for at most 80 % of [`Options::timeout`]. With this limit, the caller gets SQLite's own
/// error, and not only a timeout.
pub(super) fn open(path: &Path, synchronous: &str, options: &Options) -> Result<Connection> {
    let at = |why: &dyn std::fmt::Display| Error::Unavailable(format!("sqlite:{}: {why}", path.display()));
    let foreign = |why: String| Error::Config(format!("sqlite:{} {why}", path.display()));
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) if !folder.is_dir() => {
            return Err(foreign(format!("is in the folder {}, which does not exist: make it", folder.display())));
        }
        _ if path.is_dir() => return Err(foreign("is a folder: name a file".to_owned())),
        _ => {}
    }
    make(path, options.operator).map_err(|error| at(&error))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(|error| at(&error))?;
    // SQLite waits for other processes for less time than the timeout of a call. So the caller gets SQLite's own error,
    // and not only a timeout.
    let patience = options.timeout.mul_f64(0.8);
    connection.busy_timeout(patience).map_err(|error| at(&error))?;
    let prepared =
        prepare(&mut connection, path, synchronous, patience).map_err(|error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => foreign("is no SQLite database: name another file".to_owned()),
            _ => at(&error),
        })?;
    match prepared {
        File::Ours => Ok(connection),
        File::Foreign => Err(foreign("is a database of another program: name another file".to_owned())),
        File::InUse => Err(at(&"a process of an earlier version of epilogue uses this file: end that process first")),
        File::Version(other) => {
            Err(foreign(format!("was written by another version of epilogue: its schema is {other}, not {VERSION}")))
        }
    }
}

/// The kind of file that the engine finds at the path.
enum File {
    Ours,
    Foreign,
    /// A process of an earlier version of the host is using the file. The earlier version knows only version 1 of the
    /// tables, so the engine must not convert the file.
    InUse,
    /// The file's tables have this version, which is neither [`VERSION`] nor 1.
    Version(i64),
}

/// Creates the database file if it does not exist. Only the file's owner can read the new file. SQLite itself would
/// create a file that other users can read. SQLite gives its journal files the same permissions as the database file.
///
/// The function does not open an existing file, because closing the file would release the locks that this process
/// already has on the file ("How To Corrupt An SQLite Database File", 2.2).
fn make(path: &Path, operator: bool) -> io::Result<()> {
    // This lock makes sure that no other thread of this process opens the new file while this function has the file
    // open.
    static MAKING: Mutex<()> = Mutex::new(());
    let _alone = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    match path.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !operator => {
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map(drop)
        }
        found => found.map(drop),
    }
}

/// Creates the tables if the file has no tables. Converts a file of an earlier version. If the machine has restarted,
/// ends the leases and computes the ends of the delays again, because the machine's clocks have started again at zero.
fn prepare(connection: &mut Connection, path: &Path, synchronous: &str, patience: Duration) -> rusqlite::Result<File> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let read = |name| transaction.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        transaction.execute_batch(SCHEMA)?;
        transaction.execute_batch(SINCE_2)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    } else if read("application_id")? != APPLICATION {
        return Ok(File::Foreign);
    } else {
        match read("user_version")? {
            VERSION => {}
            1 if owner::any_lives(path, &transaction)? => return Ok(File::InUse),
            1 => {
                transaction.execute_batch(SINCE_1)?;
                transaction.execute_batch(SINCE_2)?;
                transaction.pragma_update(None, "user_version", VERSION)?;
            }
            other => return Ok(File::Version(other)),
        }
    }
    set_clocks(&transaction)?;
    transaction.commit()?;
    write_ahead(connection, patience)?;
    connection.pragma_update(None, "synchronous", synchronous)?;
    Ok(File::Ours)
}

/// Updates leases and delays if the machine has restarted. All leases end, because no worker has survived the restart.
/// The clock for delays has started again at zero, so the function computes the remaining time of each delay with the
/// wall clock. The remaining time is never longer than the whole delay, even if the wall clock has jumped.
fn set_clocks(connection: &Connection) -> rusqlite::Result<()> {
    let boot = clock::boot();
    if connection.prepare("SELECT 1 FROM boot WHERE id = ?")?.exists([&boot])? {
        return Ok(());
    }
    connection.execute("UPDATE batches SET due = 0, worker = NULL, owner = NULL WHERE owner IS NOT NULL", [])?;
    connection.execute(
        "UPDATE batches SET due = ? + max(0, min(delay, since + delay - ?)) WHERE due > 0",
        [clock::running(), clock::wall()],
    )?;
    connection.execute("DELETE FROM boot", [])?;
    connection.execute("INSERT INTO boot (id) VALUES (?)", [boot]).map(drop)
}

/// Removes a batch and its envelope.
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
