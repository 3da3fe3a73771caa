//! Which tasks this guest has, by name.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::task::{Task, Work};

/// One `#[task]` function, as found at link time.
pub struct Registration {
    name: &'static str,
    signature: &'static str,
    path: &'static str,
    start: fn(&[u8]) -> Result<Work, serde_json::Error>,
}

impl Registration {
    /// What the attribute submits for `T`.
    pub const fn of<T: Task>(signature: &'static str, path: &'static str) -> Self {
        Self {
            name: T::NAME,
            signature,
            path,
            start: |args| Ok(Box::pin(T::run(serde_json::from_slice(args)?))),
        }
    }

    /// The task, ready to run with `args`; or how they do not fit it.
    pub(crate) fn start(&self, args: &[u8]) -> Result<Work, String> {
        (self.start)(args)
            .map_err(|error| format!("`{}` cannot take these arguments: {error}", self.signature))
    }
}

inventory::collect!(Registration);

/// The task of that name.
///
/// # Panics
///
/// If two tasks of this guest share a name.
pub(crate) fn find(name: &str) -> Option<&'static Registration> {
    tasks().get(name).copied()
}

/// Panics if two tasks of this guest share a name, so that no request is served before somebody has seen it.
pub(crate) fn check() {
    tasks();
}

/// A path without its crate: a task at the root is called as its function.
pub const fn without_crate(path: &'static str) -> &'static str {
    let bytes = path.as_bytes();
    let mut at = 0;
    while at + 1 < bytes.len() {
        if bytes[at] == b':' && bytes[at + 1] == b':' {
            return path.split_at(at + 2).1;
        }
        at += 1;
    }
    path
}

fn tasks() -> &'static BTreeMap<&'static str, &'static Registration> {
    static TASKS: OnceLock<BTreeMap<&'static str, &'static Registration>> = OnceLock::new();
    TASKS.get_or_init(|| by_name(inventory::iter::<Registration>()))
}

fn by_name(
    registrations: impl IntoIterator<Item = &'static Registration>,
) -> BTreeMap<&'static str, &'static Registration> {
    let mut tasks = BTreeMap::new();
    for task in registrations {
        if let Some(other) = tasks.insert(task.name, task) {
            let (a, b) = (task.path.min(other.path), task.path.max(other.path));
            panic!(
                "`{a}` and `{b}` are both named `{}`: give one another name with `#[task(name = \"…\")]`",
                task.name
            );
        }
    }
    tasks
}
