//! Records which process holds a lease, and finds out whether that process is alive.
//!
//! Each process holds a lock on its own lock file. When the process ends, the kernel removes the lock. So the next
//! process that opens the database can free the batches of a killed process immediately, before the leases of these
//! batches end.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};
use uuid::Uuid;

use crate::{Error, Result};

/// This process as the owner of leases in a database. A process becomes a new owner each time it opens the database
/// file.
#[derive(Debug)]
pub(super) struct Owner {
    id: String,
    path: PathBuf,
    /// The owner's own lock file. The lock lasts until the file is closed.
    _lock: File,
}

impl Owner {
    /// Creates and locks the lock file of a new owner, and registers the owner in the database. Also frees the batches
    /// of owners whose process has died.
    pub(super) fn new(database: &Path, connection: &mut Connection) -> Result<Self> {
        let id = Uuid::now_v7().to_string();
        let path = lock_path(database, &id);
        let unavailable = |error: &dyn std::fmt::Display| Error::Unavailable(format!("{}: {error}", path.display()));
        let lock = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let lock = lock.map_err(|error| unavailable(&error))?;
        lock.try_lock().map_err(|error| unavailable(&error))?;
        register(database, connection, &id).map_err(|error| unavailable(&error))?;
        Ok(Self { id, path, _lock: lock })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // If batches are still leased, the next process that opens the database frees these batches.
        let _ = fs::remove_file(&self.path);
    }
}

fn register(database: &Path, connection: &mut Connection, id: &str) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for owner in owners(&transaction)? {
        let path = lock_path(database, &owner);
        if lives(&path) {
            continue;
        }
        transaction.execute("UPDATE batches SET due = 0, worker = NULL, owner = NULL WHERE owner = ?", [&owner])?;
        transaction.execute("DELETE FROM owners WHERE id = ?", [&owner])?;
        let _ = fs::remove_file(path);
    }
    transaction.execute("INSERT INTO owners (id) VALUES (?)", [id])?;
    transaction.commit()
}

fn owners(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    connection.prepare("SELECT id FROM owners")?.query_map([], |row| row.get(0))?.collect()
}

/// Returns true if a process has the database file open, according to the locks on the owners' lock files.
pub(super) fn any_lives(database: &Path, connection: &Connection) -> rusqlite::Result<bool> {
    Ok(owners(connection)?.iter().any(|owner| lives(&lock_path(database, owner))))
}

/// Returns true if a process holds the lock on an owner's lock file. If the lock file exists but cannot be opened, the
/// function also returns true. If the owner of a lock file that cannot be opened has died, the owner's leases end after
/// the visibility timeout.
fn lives(path: &Path) -> bool {
    match OpenOptions::new().write(true).open(path) {
        Ok(file) => file.try_lock().is_err(),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

fn lock_path(database: &Path, owner: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(format!("-owner-{owner}"));
    path.into()
}
