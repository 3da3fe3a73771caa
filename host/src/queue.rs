//! The queue of one request: first in, first out, within limits (S1, S5, S11).
//!
//! It knows the contract's own types, and nothing of wasmtime.

#[cfg(test)]
mod model;

use std::collections::VecDeque;
use std::time::Duration;

use crate::bindings::{EnqueueError, FailurePolicy, RunWhen, TaskId, TaskOptions};
use crate::settings::Settings;
use crate::summary::Backlog;
use crate::values::OnFailure;

/// Bytes in a task's name. It is kept in the task's record, and is part of each of its events.
const MAX_NAME: usize = 1024;

/// A task that was accepted and has not ended.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) id: TaskId,
    /// Who added it, and runs it: the place of a component among those of the application.
    pub(crate) layer: usize,
    pub(crate) name: String,
    pub(crate) args: Vec<u8>,
    pub(crate) run_when: RunWhen,
    pub(crate) timeout: Option<Duration>,
    pub(crate) max_attempts: u32,
    pub(crate) cancel_on_disconnect: bool,
    pub(crate) instance_bound: bool,
    /// The instance that it is bound to has died.
    pub(crate) orphaned: bool,
    /// Taken back before it started. It keeps its place, so that what ends is recorded in order.
    pub(crate) cancelled: bool,
}

/// One request's tasks.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: VecDeque<Task>,
    accepted: u32,
    args: usize,
    policy: FailurePolicy,
    closed: bool,
    limits: Limits,
    backlog: Backlog,
}

#[derive(Debug)]
struct Limits {
    tasks: u32,
    task_args: usize,
    request_args: usize,
}

impl Queue {
    /// An empty queue, whose tasks count in the host's `backlog` from now on until they are recorded.
    pub(crate) fn new(settings: &Settings, backlog: Backlog) -> Self {
        Self {
            waiting: VecDeque::new(),
            accepted: 0,
            args: 0,
            policy: match settings.on_failure {
                OnFailure::Stop => FailurePolicy::Stop,
                OnFailure::Continue => FailurePolicy::Continue,
            },
            closed: false,
            limits: Limits {
                tasks: settings.max_tasks,
                task_args: settings.max_task_args.bytes(),
                request_args: settings.max_request_args.bytes(),
            },
            backlog,
        }
    }

    /// Accepts a task behind all others, or says why not.
    pub(crate) fn add(
        &mut self,
        layer: usize,
        name: String,
        args: Vec<u8>,
        options: TaskOptions,
    ) -> Result<TaskId, EnqueueError> {
        if self.closed {
            return Err(EnqueueError::Closed);
        }
        if options.durable {
            let reason = "durable tasks need a store, and this host has none";
            return Err(EnqueueError::Unsupported(reason.to_owned()));
        }
        if name.len() > MAX_NAME {
            return Err(EnqueueError::Other(format!("a task's name may have at most {MAX_NAME} bytes")));
        }
        if self.accepted >= self.limits.tasks {
            return Err(EnqueueError::QueueFull(self.limits.tasks));
        }
        if args.len() > self.limits.task_args {
            return Err(EnqueueError::ArgsTooLarge(self.limits.task_args as u64));
        }
        if args.len() > self.limits.request_args - self.args {
            return Err(EnqueueError::RequestArgsTooLarge(self.limits.request_args as u64));
        }
        self.accepted += 1;
        self.backlog.accepted();
        self.args += args.len();
        let id = TaskId::from(self.accepted);
        self.waiting.push_back(Task {
            id,
            layer,
            name,
            args,
            run_when: options.run_when,
            timeout: options.timeout.map(Duration::from_nanos),
            max_attempts: options.max_attempts.unwrap_or(1).max(1),
            cancel_on_disconnect: options.cancel_on_disconnect,
            instance_bound: options.instance_bound,
            orphaned: false,
            cancelled: false,
        });
        Ok(id)
    }

    /// Takes back a task that has not started. False if there is no such task.
    pub(crate) fn cancel(&mut self, id: TaskId) -> bool {
        match self.waiting.iter_mut().find(|task| task.id == id && !task.cancelled) {
            Some(task) => {
                task.cancelled = true;
                task.args = Vec::new();
                true
            }
            None => false,
        }
    }

    /// The instance has died, and with it what tasks were bound to. Tasks that a fresh one adds are not concerned.
    pub(crate) fn orphan(&mut self) {
        for task in &mut self.waiting {
            task.orphaned = task.instance_bound;
        }
    }

    /// What a failing task means for those after it.
    pub(crate) fn policy(&self) -> FailurePolicy {
        self.policy
    }

    /// Sets what a failing task means for those after it.
    pub(crate) fn set_policy(&mut self, policy: FailurePolicy) {
        self.policy = policy;
    }

    /// The next task to end, in the order of registration.
    pub(crate) fn next(&mut self) -> Option<Task> {
        self.waiting.pop_front()
    }

    /// Accepts nothing more if no task is waiting: the request is over. Says whether it is.
    pub(crate) fn close_if_empty(&mut self) -> bool {
        self.closed = self.waiting.is_empty();
        self.closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::{Size, Value as _};

    fn queue(settings: Settings) -> Queue {
        Queue::new(&settings, Backlog::default())
    }

    fn size(text: &str) -> Size {
        Size::parse(text).unwrap()
    }

    fn options() -> TaskOptions {
        TaskOptions {
            run_when: RunWhen::Success,
            timeout: None,
            max_attempts: None,
            cancel_on_disconnect: false,
            instance_bound: false,
            durable: false,
        }
    }

    fn add(queue: &mut Queue, args: usize) -> Result<TaskId, EnqueueError> {
        queue.add(0, "task".into(), vec![0; args], options())
    }

    #[test]
    fn tasks_leave_in_the_order_of_registration_with_ids_from_one() {
        let mut queue = queue(Settings::default());
        for expected in 1..=3 {
            assert_eq!(add(&mut queue, 0).unwrap(), expected);
        }
        let ids: Vec<_> = std::iter::from_fn(|| queue.next()).map(|task| task.id).collect();
        assert_eq!(ids, [1, 2, 3]);
    }

    #[test]
    fn limits_are_exact_and_named() {
        let settings =
            || Settings { max_tasks: 2, max_task_args: size("4"), max_request_args: size("6"), ..Settings::default() };
        let mut full = queue(settings());
        add(&mut full, 0).unwrap();
        add(&mut full, 0).unwrap();
        assert!(matches!(add(&mut full, 0), Err(EnqueueError::QueueFull(2))));

        let mut large = queue(settings());
        assert!(matches!(add(&mut large, 5), Err(EnqueueError::ArgsTooLarge(4))));
        add(&mut large, 4).unwrap();
        assert!(matches!(add(&mut large, 3), Err(EnqueueError::RequestArgsTooLarge(6))));
        add(&mut large, 2).unwrap();
    }

    #[test]
    fn s11_a_name_has_a_limit_too() {
        let mut queue = queue(Settings::default());
        assert!(queue.add(0, "n".repeat(MAX_NAME), vec![], options()).is_ok());
        assert!(matches!(queue.add(0, "n".repeat(MAX_NAME + 1), vec![], options()), Err(EnqueueError::Other(_))));
    }

    #[test]
    fn a_refused_task_takes_no_number() {
        let mut queue = queue(Settings { max_task_args: size("1"), ..Settings::default() });
        assert!(add(&mut queue, 2).is_err());
        assert_eq!(add(&mut queue, 1).unwrap(), 1);
    }

    #[test]
    fn a_cancelled_task_keeps_its_place_and_is_cancelled_once() {
        let mut queue = queue(Settings::default());
        add(&mut queue, 8).unwrap();
        assert!(queue.cancel(1));
        assert!(!queue.cancel(1));
        assert!(!queue.cancel(2));
        let task = queue.next().unwrap();
        assert!(task.cancelled && task.args.is_empty());
        assert!(!queue.cancel(1), "it has ended");
    }

    #[test]
    fn s15_what_is_bound_to_an_instance_is_orphaned_with_it() {
        let mut queue = queue(Settings::default());
        let bound = TaskOptions { instance_bound: true, ..options() };
        for options in [bound, options(), bound] {
            queue.add(0, "task".into(), vec![], options).unwrap();
        }
        queue.orphan();
        queue.add(0, "of the next instance".into(), vec![], bound).unwrap();
        let orphaned: Vec<_> = std::iter::from_fn(|| queue.next()).map(|task| task.orphaned).collect();
        assert_eq!(orphaned, [true, false, true, false]);
    }

    #[test]
    fn a_closed_queue_accepts_nothing() {
        let mut closed = queue(Settings::default());
        assert!(closed.close_if_empty());
        assert!(matches!(add(&mut closed, 0), Err(EnqueueError::Closed)));
    }

    #[test]
    fn a_queue_with_a_waiting_task_does_not_close() {
        let mut queue = queue(Settings::default());
        add(&mut queue, 0).unwrap();
        assert!(!queue.close_if_empty());
        add(&mut queue, 0).unwrap();
    }

    #[test]
    fn what_the_host_cannot_keep_is_refused() {
        let mut queue = queue(Settings::default());
        let durable = TaskOptions { durable: true, ..options() };
        assert!(matches!(queue.add(0, "task".into(), vec![], durable), Err(EnqueueError::Unsupported(_))));
    }
}
