//! A thread that runs all operations on an SQLite database, and commits many operations together.
//!
//! The thread puts all waiting operations into one transaction, each operation in its own savepoint. After the commit,
//! the thread gives each operation's result to its caller. If all waiting operations only read, the thread uses no
//! transaction.

mod place;

use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc as channel, oneshot};
use tokio::time;

use crate::{Error, Result};

pub use place::Place;

/// The pause between two attempts to switch a file to WAL mode while other processes use the file.
const AGAIN: Duration = Duration::from_millis(5);

/// The largest number of operations in one transaction. With a larger number, other processes would wait longer for the
/// file.
const GROUP: usize = 256;

/// A handle to the thread that runs the operations on a database. The thread ends when the handle is dropped.
#[derive(Debug)]
pub struct Database {
    operations: channel::Sender<Operation>,
    timeout: Duration,
}

struct Operation {
    writes: bool,
    run: Run,
}

/// A function that runs one operation. The thread calls this function with the connection, or with an error if the
/// thread cannot use the connection. The function returns an [`Answer`]. After the commit, the thread calls the
/// `Answer` with the result of the commit.
type Run = Box<dyn FnOnce(Result<&Connection>) -> Answer + Send>;
type Answer = Box<dyn FnOnce(Result<()>)>;

impl Database {
    /// Starts the thread for an open database. `place` says where the database's file is. For a database in memory,
    /// `place` is `None`. `timeout` is the time limit for each operation, including the time for which the operation
    /// waits for earlier operations.
    ///
    /// # Errors
    /// Returns [`Error::Unavailable`] if the system cannot start the thread.
    pub fn start(mut connection: Connection, place: Option<Place>, timeout: Duration) -> Result<Self> {
        let (operations, mut waiting) = channel::channel::<Operation>(GROUP);
        let thread = thread::Builder::new().name("epilogue-sqlite".to_owned());
        let spawned = thread.spawn(move || {
            while let Some(first) = waiting.blocking_recv() {
                let others = std::iter::from_fn(|| waiting.try_recv().ok());
                run_group(&mut connection, place.as_ref(), std::iter::once(first).chain(others).take(GROUP));
            }
        });
        spawned.map_err(|error| Error::Unavailable(format!("no thread could be started: {error}")))?;
        Ok(Self { operations, timeout })
    }

    /// Runs an operation, and returns when the operation's changes are committed. If the caller stops waiting before
    /// the operation starts, the operation does not run.
    ///
    /// # Errors
    /// Returns [`Error::Unavailable`] if SQLite fails, or does not answer in time. Even if the call fails, the
    /// operation may have changed the database.
    pub async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.wait(true, work).await
    }

    /// Runs an operation that changes nothing, and returns its result.
    ///
    /// # Errors
    /// Returns [`Error::Unavailable`] if SQLite fails, or does not answer in time.
    pub async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.wait(false, work).await
    }

    async fn wait<T, F>(&self, writes: bool, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let run: Run = Box::new(move |connection| {
            // The caller no longer waits for the result, for example because of the timeout, so the operation must not
            // run.
            if sender.is_closed() {
                return Box::new(drop);
            }
            let work = |connection| if writes { in_savepoint(connection, work) } else { work(connection) };
            let result = connection.and_then(|connection| work(connection).map_err(unavailable));
            Box::new(move |committed| {
                let _ = sender.send(committed.and(result));
            })
        });
        let answer = async {
            self.operations.send(Operation { writes, run }).await.map_err(|_| gone())?;
            receiver.await.map_err(|_| gone())?
        };
        match time::timeout(self.timeout, answer).await {
            Ok(result) => result,
            Err(_) => Err(Error::Unavailable(format!("no answer from SQLite within {:?}", self.timeout))),
        }
    }
}

fn run_group(connection: &mut Connection, place: Option<&Place>, operations: impl Iterator<Item = Operation>) {
    let operations: Vec<_> = operations.collect();
    let writes = operations.iter().any(|operation| operation.writes);
    let run_all = |within: Result<&Connection>| -> Vec<Answer> {
        operations.into_iter().map(|operation| (operation.run)(within.clone())).collect()
    };
    let (answers, committed) = match place.map_or(Ok(()), Place::check) {
        Err(moved) => (run_all(Err(moved)), Ok(())),
        Ok(()) if !writes => (run_all(Ok(&*connection)), Ok(())),
        Ok(()) => match connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(unavailable) {
            Err(error) => (run_all(Err(error)), Ok(())),
            Ok(transaction) => (run_all(Ok(&transaction)), transaction.commit().map_err(unavailable)),
        },
    };
    for answer in answers {
        answer(committed.clone());
    }
}

/// Runs `work` in a savepoint. If `work` fails, this function undoes the changes that `work` has made.
fn in_savepoint<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.prepare_cached("SAVEPOINT operation")?.execute([])?;
    let result = work(connection);
    if result.is_err() {
        connection.prepare_cached("ROLLBACK TO operation")?.execute([])?;
    }
    connection.prepare_cached("RELEASE operation")?.execute([])?;
    result
}

fn unavailable(error: rusqlite::Error) -> Error {
    Error::Unavailable(format!("SQLite: {error}"))
}

fn gone() -> Error {
    Error::Unavailable("the thread of SQLite has ended".to_owned())
}

/// Switches the database file of a connection to WAL mode. The change needs a lock on the file, and SQLite itself does
/// not wait for this lock. If another process has the lock, this function tries again for at most the time `patience`.
///
/// # Errors
/// Returns SQLite's error, for example if other processes still use the file after the time `patience`.
pub fn write_ahead(connection: &Connection, patience: Duration) -> rusqlite::Result<()> {
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
