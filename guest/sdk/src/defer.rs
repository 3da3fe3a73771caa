//! Deferred tasks, which are futures. A future cannot leave the memory of its instance. So the host's queue contains
//! only a number for each deferred task, and the instance keeps a map from these numbers to the futures.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::background::TaskId;
use crate::bindings::epilogue::background::queue;
use crate::error::EnqueueError;
use crate::options::TaskOptions;
use crate::task::{TaskResult, Work, work};

/// The arguments of a deferred task, such as `{"closure": 7}`. The arguments of a named task are a list, which serde
/// never reads as this `enum`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Args {
    Closure(u64),
}

thread_local! {
    static NEXT: Cell<u64> = const { Cell::new(0) };
    static WAITING: RefCell<BTreeMap<u64, Work>> = const { RefCell::new(BTreeMap::new()) };
}

/// Adds `future` to the request's queue.
pub(crate) fn enqueue<F>(name: &str, options: TaskOptions, future: F) -> Result<TaskId, EnqueueError>
where
    F: Future<Output: TaskResult> + 'static,
{
    if options.retries() {
        return Err(EnqueueError::Unsupported(
            "a closure can be tried only once, because its first run consumes it".to_owned(),
        ));
    }
    // An instance never uses a number twice. For this reason, a request can never run a future of an earlier request.
    let closure = NEXT.replace(NEXT.get() + 1);
    let args = serde_json::to_vec(&Args::Closure(closure)).map_err(|error| EnqueueError::Other(error.to_string()))?;
    let id = queue::add_task(name, &args, options.into_wit(true))?;
    WAITING.with_borrow_mut(|waiting| waiting.insert(closure, work(future)));
    Ok(TaskId(id))
}

/// The kind of a task, which [`take`] reads from the task's arguments.
pub(crate) enum Taken {
    /// The task is a named function, and the arguments are a list.
    Named,
    /// The task is a deferred future, which this variant holds.
    Closure(Work),
    /// The task is a deferred future that this instance does not have.
    Gone,
}

/// Finds out from a task's arguments whether the task is deferred. If this instance has the task's future, removes and
/// returns the future.
pub(crate) fn take(args: &[u8]) -> Taken {
    // If the arguments are not an object, the task is a named task, whose arguments are a list. This check is faster
    // than an attempt to read a long list as a closure.
    if !args.starts_with(b"{") {
        return Taken::Named;
    }
    let Ok(Args::Closure(closure)) = serde_json::from_slice(args) else { return Taken::Named };
    WAITING.with_borrow_mut(|waiting| waiting.remove(&closure)).map_or(Taken::Gone, Taken::Closure)
}

/// Drops the futures of all deferred tasks that have not run. The host has already recorded these tasks as cancelled,
/// skipped, discarded or abandoned, so their futures will never run.
pub(crate) fn forget() {
    // This line first takes the futures out of the cell. While a future drops, a value that the future captured may use
    // the cell.
    drop(WAITING.take());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::now;

    #[test]
    fn a_closure_runs_once() {
        WAITING.with_borrow_mut(|waiting| waiting.insert(7, work(async { Err::<(), _>("ran") })));
        let Taken::Closure(work) = take(br#"{"closure":7}"#) else { panic!("it is not there") };
        assert_eq!(now(work), Err("ran".to_owned()));
        assert!(matches!(take(br#"{"closure":7}"#), Taken::Gone));
    }

    #[test]
    fn a_tasks_list_is_not_taken_for_a_closure() {
        assert!(matches!(take(b"[7]"), Taken::Named));
        assert!(matches!(take(b"null"), Taken::Named));
    }

    #[test]
    fn more_than_one_attempt_is_refused() {
        let error = enqueue("defer", TaskOptions::new().max_attempts(2), async {}).unwrap_err();
        assert!(matches!(error, EnqueueError::Unsupported(_)));
    }
}
