//! Chooses the batch that a worker leases next. The first choice is a batch whose lease has ended. The second choice is
//! a batch whose delay has ended, and the third choice is the batch that has waited longest.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::clock;

/// Returns the number of the row that a worker leases next. `now` is the present time of [`clock::awake`]. `ours`
/// returns true if this process still has the `Lease` value for a row. If the lease of this process has run out, the
/// process was probably paused. The function extends the lease of this process until the time `until`, and does not
/// return the row.
pub(super) fn next(
    connection: &Connection,
    ours: impl Fn(&i64, &str) -> bool,
    now: i64,
    until: i64,
) -> rusqlite::Result<Option<i64>> {
    let mut ended = connection.prepare_cached(
        "SELECT seq, owner FROM batches WHERE owner IS NOT NULL AND due <= ? ORDER BY due, seq LIMIT 1",
    )?;
    let mut extend = connection.prepare_cached("UPDATE batches SET due = ? WHERE seq = ?")?;
    loop {
        let first = ended.query_row([now], |row| Ok((row.get(0)?, row.get::<_, String>(1)?))).optional()?;
        match first {
            Some((seq, owner)) if ours(&seq, &owner) => extend.execute(params![until, seq])?,
            Some((seq, _)) => return Ok(Some(seq)),
            None => break,
        };
    }
    connection
        .prepare_cached(
            "SELECT coalesce(
                 (SELECT seq FROM batches WHERE why IS NULL AND owner IS NULL AND due > 0 AND due <= ? ORDER BY due, seq LIMIT 1),
                 (SELECT seq FROM batches WHERE why IS NULL AND owner IS NULL AND due = 0 ORDER BY seq LIMIT 1))",
        )?
        .query_row([clock::running()], |row| row.get(0))
}
