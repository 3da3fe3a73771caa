//! What the tests of this suite share.

use epilogue::testing::RequestRecord;

/// How a request's tasks ended, in that order: their names and states.
pub(crate) fn ends(record: &RequestRecord) -> Vec<String> {
    record.tasks.iter().map(|task| format!("{} {}", task.name, task.state)).collect()
}
