//! The thread that writes, and its group commit.
//!
//! The thread puts all waiting operations into one transaction, each in its own savepoint. It answers them after the
//! transaction is committed and on the disk.

use std::thread;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc as channel, oneshot};
use tokio::time;

use super::place::Place;
use crate::{Error, Result};

/// The largest number of operations in one transaction. It limits how long other processes must wait for the file.
const GROUP: usize = 256;

/// A handle to the thread. The thread ends when the handle is dropped.
#[derive(Debug)]
pub(super) struct Writer {
    operations: channel::Sender<Operation>,
    timeout: Duration,
}

/// Runs within the transaction, or gets the error if there is none. Returns a function that runs after the transaction
/// was committed or has failed.
type Operation = Box<dyn FnOnce(Result<&Connection>) -> Answer + Send>;
type Answer = Box<dyn FnOnce(Result<()>)>;

impl Writer {
    /// Starts the thread.
    pub(super) fn start(mut connection: Connection, place: Place, timeout: Duration) -> Result<Self> {
        let (operations, mut waiting) = channel::channel::<Operation>(GROUP);
        let thread = thread::Builder::new().name("epilogue-sqlite".to_owned());
        let spawned = thread.spawn(move || {
            while let Some(first) = waiting.blocking_recv() {
                let others = std::iter::from_fn(|| waiting.try_recv().ok());
                commit(&mut connection, &place, std::iter::once(first).chain(others).take(GROUP));
            }
        });
        spawned.map_err(|error| Error::Unavailable(format!("no thread could be started: {error}")))?;
        Ok(Self { operations, timeout })
    }

    /// Runs an operation, and returns once it is on the disk.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let operation: Operation = Box::new(move |connection| {
            // The caller no longer waits and has got an error, so the operation must not happen.
            if sender.is_closed() {
                return Box::new(drop);
            }
            let result = connection.and_then(|connection| in_savepoint(connection, work).map_err(unavailable));
            Box::new(move |committed| {
                let _ = sender.send(committed.and(result));
            })
        });
        let answer = async {
            self.operations.send(operation).await.map_err(|_| gone())?;
            receiver.await.map_err(|_| gone())?
        };
        match time::timeout(self.timeout, answer).await {
            Ok(result) => result,
            Err(_) => Err(Error::Unavailable(format!("no answer from SQLite within {:?}", self.timeout))),
        }
    }
}

fn commit(connection: &mut Connection, place: &Place, operations: impl Iterator<Item = Operation>) {
    let transaction = match place.check() {
        Ok(()) => connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(unavailable),
        Err(moved) => Err(moved),
    };
    let within = transaction.as_ref().map(|transaction| &**transaction);
    let answers: Vec<_> = operations.map(|operation| operation(within.map_err(Clone::clone))).collect();
    let committed = transaction.and_then(|transaction| transaction.commit().map_err(unavailable));
    for answer in answers {
        answer(committed.clone());
    }
}

/// Runs `work` in a savepoint. If `work` fails, none of its changes remain.
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
    Error::Unavailable("the thread that writes to SQLite has ended".to_owned())
}
