//! The calls that operators make to inspect and change stored batches.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{clock, schema};
use crate::{BatchState, Counts, Entry};

/// An SQL expression that computes the state of a row as an index into [`STATES`]. The first parameter is the present
/// time of the clock for delays. The second parameter is the present time of the clock for leases.
const STATE: &str = "CASE WHEN why IS NOT NULL THEN 3 WHEN due <= iif(owner IS NULL, ?1, ?2) THEN 0 WHEN owner IS NULL THEN 1 ELSE 2 END";
const STATES: [BatchState; 4] = [BatchState::Ready, BatchState::Delayed, BatchState::Leased, BatchState::Dead];
const COLUMNS: &str = "id, next, attempt, worker, why, envelope, due - iif(owner IS NULL, ?1, ?2)";
const TABLES: &str = "batches LEFT JOIN envelopes USING (seq)";

/// Returns up to `count` batches after the row `after`, the oldest first. The function returns each batch together with
/// the number of its row.
pub(super) fn page(
    connection: &Connection,
    state: Option<BatchState>,
    after: i64,
    count: usize,
) -> rusqlite::Result<Vec<(i64, Entry)>> {
    // With this condition, SQLite uses the index `dead` and reads only the dead batches.
    let filter = match state {
        None => String::new(),
        Some(BatchState::Dead) => "AND why IS NOT NULL".to_owned(),
        Some(state) => format!("AND {STATE} = {}", STATES.iter().position(|each| *each == state).unwrap_or_default()),
    };
    let query = format!("SELECT {STATE}, {COLUMNS}, seq FROM {TABLES} WHERE seq > ?3 {filter} ORDER BY seq LIMIT ?4");
    let row = |row: &Row<'_>| Ok((row.get(8)?, entry(row)?));
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    connection.prepare(&query)?.query_map(params![clock::running(), clock::awake(), after, count], row)?.collect()
}

pub(super) fn show(connection: &Connection, id: &str) -> rusqlite::Result<Option<Entry>> {
    let query = format!("SELECT {STATE}, {COLUMNS} FROM {TABLES} WHERE id = ?3");
    connection.prepare(&query)?.query_row(params![clock::running(), clock::awake(), id], entry).optional()
}

// The engine runs each of the functions below in one transaction. So no other process can change the batch between the
// call of `show` and the change.
pub(super) fn retry_dead(connection: &Connection, id: &str) -> rusqlite::Result<Option<Entry>> {
    let dead = show(connection, id)?.filter(|entry| entry.state == BatchState::Dead);
    let query = "UPDATE batches SET why = NULL, attempt = 0, due = 0 WHERE id = ? AND why IS NOT NULL";
    connection.execute(query, [id])?;
    Ok(dead)
}

pub(super) fn remove(connection: &Connection, id: &str) -> rusqlite::Result<Option<Entry>> {
    let removed = show(connection, id)?;
    let seq = connection.query_row("SELECT seq FROM batches WHERE id = ?", [id], |row| row.get(0)).optional()?;
    if let Some(seq) = seq {
        schema::delete(connection, seq)?;
    }
    Ok(removed)
}

pub(super) fn counts(connection: &Connection) -> rusqlite::Result<Counts> {
    let mut counts = Counts::default();
    let query = format!("SELECT {STATE}, count(*) FROM batches GROUP BY 1");
    let mut statement = connection.prepare(&query)?;
    for row in
        statement.query_map([clock::running(), clock::awake()], |row| Ok((state(row)?, row.get::<_, u32>(1)?)))?
    {
        let (state, count) = row?;
        *counts.of(state) = count.into();
    }
    Ok(counts)
}

/// Counts the batches that are not dead. The count is fast, because SQLite scans only the table `batches`, which does
/// not contain the envelopes.
pub(super) fn backlog(connection: &Connection) -> rusqlite::Result<u64> {
    let query = "SELECT count(*) FROM batches WHERE why IS NULL";
    connection.prepare_cached(query)?.query_row([], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
}

fn state(row: &Row<'_>) -> rusqlite::Result<BatchState> {
    Ok(STATES[usize::from(row.get::<_, u8>(0)?.min(3))])
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let state = state(row)?;
    Ok(Entry {
        id: row.get(1)?,
        state,
        next: row.get(2)?,
        attempt: row.get(3)?,
        worker: row.get::<_, Option<_>>(4)?.filter(|_| state == BatchState::Leased),
        left: match state {
            BatchState::Leased | BatchState::Delayed => {
                Some(Duration::from_millis(row.get::<_, i64>(7)?.unsigned_abs()))
            }
            BatchState::Ready | BatchState::Dead => None,
        },
        why: row.get(5)?,
        envelope: row.get::<_, Option<_>>(6)?.unwrap_or_default(),
    })
}
