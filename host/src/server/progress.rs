//! Counts the requests and tasks that have not ended in a process.

use std::fmt;
use std::sync::Arc;

use crate::request::admission::Admission;
use crate::tasks::observer::Observer;

/// Counts the requests and tasks that have not ended in a process. As text, the value looks like `2 requests, 3 tasks`.
#[derive(Clone)]
pub(crate) struct Progress {
    /// Counts the running and draining requests of a server. The value is `None` in a process that only runs durable
    /// tasks.
    admission: Option<Arc<Admission>>,
    observers: Vec<Observer>,
}

impl Progress {
    /// Makes the counters of a process that serves requests. A process that serves requests may also run durable tasks.
    pub(crate) fn of_server(admission: Arc<Admission>, served: Observer, worked: Observer) -> Self {
        Self { admission: Some(admission), observers: vec![served, worked] }
    }

    /// Makes the counters of a process that only runs durable tasks.
    pub(crate) fn of_worker(worked: Observer) -> Self {
        Self { admission: None, observers: vec![worked] }
    }

    /// Returns the number of requests that have not ended, including their tasks, plus the number of batches that run
    /// in this process.
    pub(crate) fn requests(&self) -> usize {
        self.admission.as_ref().map_or(0, |admission| admission.requests()) + self.batches()
    }

    /// Returns the number of running requests and the number of draining requests.
    pub(crate) fn at_work_and_draining(&self) -> (usize, usize) {
        self.admission.as_ref().map_or((0, 0), |admission| admission.at_work_and_draining())
    }

    /// Returns the number of batches of durable tasks that run in this process.
    pub(crate) fn batches(&self) -> usize {
        self.observers.iter().map(Observer::batches).sum()
    }

    /// Returns the number of tasks that wait or run in this process. A durable task that waits in the task engine does
    /// not count, because any worker may run this task later.
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

/// A number, with the singular name of the counted thing. As text, the value looks like `1 request` or `2 requests`.
pub(crate) struct Count(pub(crate) u64, pub(crate) &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, name) = self;
        let plural = if *count == 1 { "" } else { "s" };
        write!(f, "{count} {name}{plural}")
    }
}
