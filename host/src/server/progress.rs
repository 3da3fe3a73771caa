//! Counts the work that a process still has to do.

use std::fmt;
use std::sync::Arc;

use crate::request::admission::Admission;
use crate::tasks::observer::Observer;

/// Counts the work that a process still has to do. The value is displayed as `2 requests, 3 tasks`.
#[derive(Clone)]
pub(crate) struct Progress {
    /// Counts the admitted requests of a server. `None` in a process that only runs durable tasks.
    admission: Option<Arc<Admission>>,
    observers: Vec<Observer>,
}

impl Progress {
    /// Makes the progress of a server and of the durable tasks that run in the same process.
    pub(crate) fn of_server(admission: Arc<Admission>, served: Observer, worked: Observer) -> Self {
        Self { admission: Some(admission), observers: vec![served, worked] }
    }

    /// Makes the progress of a process that only runs durable tasks.
    pub(crate) fn of_worker(worked: Observer) -> Self {
        Self { admission: None, observers: vec![worked] }
    }

    /// Returns the number of requests whose tasks have not all ended, plus the number of batches that run in this
    /// process.
    pub(crate) fn requests(&self) -> usize {
        self.admission.as_ref().map_or(0, |admission| admission.requests()) + self.batches()
    }

    /// Returns how many requests are at work, and how many requests drain.
    pub(crate) fn at_work_and_draining(&self) -> (usize, usize) {
        self.admission.as_ref().map_or((0, 0), |admission| admission.at_work_and_draining())
    }

    /// Returns how many batches of durable tasks run in this process.
    pub(crate) fn batches(&self) -> usize {
        self.observers.iter().map(Observer::batches).sum()
    }

    /// Returns how many tasks in this process wait or run. A durable task that waits in the task engine does not count,
    /// because any worker may run it later.
    pub(crate) fn tasks(&self) -> usize {
        let tasks = |observer: &Observer| observer.backlog().tasks() + observer.durable_tasks();
        self.observers.iter().map(tasks).sum()
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (requests, tasks) = (self.requests() as u64, self.tasks() as u64);
        write!(f, "{}, {}", Count(requests, "request"), Count(tasks, "task"))
    }
}

/// A number of things, with the name of one thing. The value is displayed as `1 request` or `2 requests`.
pub(crate) struct Count(pub(crate) u64, pub(crate) &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, name) = self;
        let plural = if *count == 1 { "" } else { "s" };
        write!(f, "{count} {name}{plural}")
    }
}
