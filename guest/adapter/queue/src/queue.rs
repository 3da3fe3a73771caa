//! The queue of one request's tasks. The responder takes tasks from the queue in the order in which the guest added
//! them (S1, S5). The queue limits the number of tasks and the size of their arguments (S11).

use alloc::borrow::ToOwned as _;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use epilogue_rules::limits::{self, Accepted, Exceeded, NO_STORE};

use crate::bindings::exports::epilogue::adapter::drain::{Limits, QueuedTask};
use crate::bindings::exports::epilogue::background::queue::{EnqueueError, FailurePolicy, TaskId, TaskOptions};

pub(crate) struct Queue {
    /// The tasks that have not started. The number before each task is the layer of the guest that added the task.
    waiting: VecDeque<(u32, QueuedTask)>,
    /// The layer of the guest that adds the next task. If only one guest uses the queue, the layer is always 0.
    pub(crate) adding: u32,
    /// The layer of the running task, which is the task that the responder has taken from the queue last.
    pub(crate) current: u32,
    accepted: Accepted,
    closed: bool,
    pub(crate) limits: Limits,
}

impl Queue {
    /// Creates the closed queue of an instance that serves no request.
    pub(crate) const fn closed() -> Self {
        let limits = Limits { tasks: 0, task_args: 0, request_args: 0, policy: FailurePolicy::Stop };
        Self {
            waiting: VecDeque::new(),
            adding: 0,
            current: 0,
            accepted: Accepted { tasks: 0, args: 0 },
            closed: true,
            limits,
        }
    }

    /// Creates the open, empty queue of a new request.
    pub(crate) fn open(limits: Limits) -> Self {
        Self { closed: false, limits, ..Self::closed() }
    }

    /// Adds a task at the end of the queue. If the queue refuses the task, the error says why.
    pub(crate) fn add(&mut self, name: String, args: Vec<u8>, options: TaskOptions) -> Result<TaskId, EnqueueError> {
        if self.closed {
            return Err(EnqueueError::Closed);
        }
        if options.durable {
            let refusal = limits::refuses_durable(options.instance_bound, options.cancel_on_disconnect);
            return Err(EnqueueError::Unsupported(refusal.unwrap_or(NO_STORE).to_owned()));
        }
        if let Some(refusal) = limits::refuses_name(name.len()) {
            return Err(EnqueueError::Other(refusal.to_owned()));
        }
        let Limits { tasks, task_args, request_args, .. } = self.limits;
        let limits = limits::Limits { tasks, task_args, request_args };
        if let Some(exceeded) = limits.accept(&mut self.accepted, args.len()) {
            return Err(exceeded.into());
        }
        let id = TaskId::from(self.accepted.tasks);
        let task = QueuedTask {
            id,
            name,
            args,
            run_when: options.run_when,
            timeout: options.timeout,
            max_attempts: options.max_attempts.unwrap_or(1).max(1),
            backoff: options.backoff,
            cancel_on_disconnect: options.cancel_on_disconnect,
            cancelled: false,
        };
        self.waiting.push_back((self.adding, task));
        Ok(id)
    }

    /// Cancels a task that has not started. If no task with the number `id` is waiting, or if the guest has already
    /// cancelled this task, returns false.
    pub(crate) fn cancel(&mut self, id: TaskId) -> bool {
        let mut tasks = self.waiting.iter_mut().map(|(_, task)| task);
        let Some(task) = tasks.find(|task| task.id == id && !task.cancelled) else { return false };
        task.cancelled = true;
        task.args = Vec::new();
        true
    }

    pub(crate) fn next(&mut self) -> Option<QueuedTask> {
        let (layer, task) = self.waiting.pop_front()?;
        self.current = layer;
        Some(task)
    }

    pub(crate) fn close_if_empty(&mut self) -> bool {
        self.closed = self.waiting.is_empty();
        self.closed
    }
}

impl From<Exceeded> for EnqueueError {
    fn from(exceeded: Exceeded) -> Self {
        match exceeded {
            Exceeded::Tasks(limit) => Self::QueueFull(limit),
            Exceeded::TaskArgs(limit) => Self::ArgsTooLarge(limit),
            Exceeded::RequestArgs(limit) => Self::RequestArgsTooLarge(limit),
        }
    }
}
