//! What the tests of this suite share.

use epilogue::testing::RequestRecord;

/// The name and state of each of a request's tasks, in their order: `write succeeded`.
pub(crate) fn ends(record: &RequestRecord) -> Vec<String> {
    record.tasks.iter().map(|task| format!("{} {}", task.name, task.state)).collect()
}
