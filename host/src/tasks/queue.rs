//! The queue of one request's tasks: first in, first out, within limits (promises S1, S5 and S11).
//!
//! The queue uses the types from `wit/`. The queue does not depend on wasmtime or on task engines.

#[cfg(test)]
mod tests;

#[cfg(test)]
mod model;

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use epilogue_manifest::settings::Settings;
use epilogue_manifest::values::OnFailure;
use epilogue_rules::backoff::Backoff;
use epilogue_rules::limits::{self, Accepted, Exceeded, NO_STORE};

use crate::contract::bindings::{EnqueueError, FailurePolicy, RunWhen, TaskId, TaskOptions, types};
use crate::tasks::backlog::Backlog;
use crate::tasks::record::StoredTask;

/// A task that the host has accepted and that has not ended.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) id: TaskId,
    /// The layer that has added the task and runs the task, as a position in the component's list of layers.
    pub(crate) layer: usize,
    pub(crate) name: String,
    pub(crate) args: Vec<u8>,
    pub(crate) run_when: RunWhen,
    pub(crate) timeout: Option<Duration>,
    pub(crate) max_attempts: u32,
    pub(crate) backoff: Backoff,
    pub(crate) cancel_on_disconnect: bool,
    pub(crate) instance_bound: bool,
    /// True if the task is durable: the host stores the task in the task engine, and a worker runs the task.
    pub(crate) durable: bool,
    /// True if the task is bound to an instance that has died.
    pub(crate) orphaned: bool,
    /// True if the guest has cancelled the task before the task started. A cancelled task stays in the queue, so that
    /// the host makes the records of all tasks in the order of the queue.
    pub(crate) cancelled: bool,
}

impl Task {
    fn is_stored_after(&self, failed: bool) -> bool {
        let runs = match self.run_when {
            RunWhen::Success => !failed,
            RunWhen::Failure => failed,
            RunWhen::Always => true,
        };
        self.durable && !self.cancelled && runs
    }
}

/// The waiting tasks of one request, and the limits for further tasks.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: VecDeque<Task>,
    accepted: Accepted,
    policy: FailurePolicy,
    closed: bool,
    /// The number of durable tasks that were appended to this queue so far.
    durable: u32,
    /// True if the handler has ended. Before the handler's end, durable tasks wait in the queue. After the handler's
    /// end, the host stores each durable task as soon as the guest adds the task.
    handler_ended: bool,
    stored: Vec<StoredTask>,
    durability: Durability,
    limits: Limits,
    backlog: Backlog,
}

/// The settings for durable tasks.
#[derive(Debug)]
struct Durability {
    /// True if the host has a task engine.
    possible: bool,
    /// True if each task that can be stored is durable, even if the guest does not ask for a durable task.
    by_default: bool,
    /// The largest number of attempts of a durable task, if the guest sets no other number.
    attempts: u32,
    /// The pauses between the attempts of a durable task, if the guest sets no other pauses.
    backoff: Backoff,
    /// The generation that a new durable task gets. A durable task from a request has generation 0. A durable task from
    /// another durable task has the next higher generation.
    generation: u32,
}

#[derive(Debug)]
struct Limits {
    request: limits::Limits,
    generations: u32,
    backlog: u64,
}

impl Queue {
    /// Makes an empty queue. `engine` is true if the host has a task engine. Each task counts in the host's `backlog`
    /// until the host has recorded the task's end or has stored the task.
    pub(crate) fn new(settings: &Settings, engine: bool, backlog: Backlog) -> Self {
        Self {
            waiting: VecDeque::new(),
            accepted: Accepted::default(),
            policy: match settings.on_failure {
                OnFailure::Stop => FailurePolicy::Stop,
                OnFailure::Continue => FailurePolicy::Continue,
            },
            closed: false,
            durable: 0,
            handler_ended: false,
            stored: Vec::new(),
            durability: Durability {
                possible: engine,
                by_default: engine && settings.durable,
                attempts: settings.durable_attempts.get(),
                backoff: Backoff { first: settings.durable_backoff, max: settings.durable_max_backoff },
                generation: 0,
            },
            limits: Limits {
                request: limits::Limits {
                    tasks: settings.max_tasks,
                    task_args: settings.max_task_args.bytes() as u64,
                    request_args: settings.max_request_args.bytes() as u64,
                },
                generations: settings.max_generations,
                backlog: settings.max_backlog,
            },
            backlog,
        }
    }

    /// Prepares the queue for a batch of stored tasks on a worker. New tasks get numbers above `last`, the number of
    /// the batch's last task. `generation` is the generation of the stored tasks. If a stored task adds a durable task,
    /// the new task has the generation `generation` + 1.
    pub(crate) fn resume(mut self, policy: FailurePolicy, last: TaskId, generation: u32) -> Self {
        self.policy = policy;
        self.durability.generation = generation.saturating_add(1);
        self.accepted.tasks = u32::try_from(last).unwrap_or(u32::MAX);
        self.limits.request.tasks = self.limits.request.tasks.saturating_add(self.accepted.tasks);
        self.handler_ended = true;
        self
    }

    /// Accepts a task and gives the task a number. The caller must then append the task to the queue with
    /// [`Queue::push`], or store the task.
    pub(crate) fn accept(
        &mut self,
        layer: usize,
        name: String,
        args: Vec<u8>,
        options: TaskOptions,
    ) -> Result<Task, EnqueueError> {
        if self.closed {
            return Err(EnqueueError::Closed);
        }
        let durable = self.is_durable(&options)?;
        if let Some(refusal) = limits::refuses_name(name.len()) {
            return Err(EnqueueError::Other(refusal.to_owned()));
        }
        if durable && self.durability.generation > self.limits.generations {
            return Err(EnqueueError::TooManyGenerations(self.limits.generations));
        }
        if let Some(exceeded) = self.limits.request.accept(&mut self.accepted, args.len()) {
            return Err(exceeded.into());
        }
        let (attempts, backoff) = match durable {
            true => (self.durability.attempts, self.durability.backoff),
            false => (1, Backoff::IN_PROCESS),
        };
        Ok(Task {
            id: TaskId::from(self.accepted.tasks),
            layer,
            name,
            args,
            run_when: options.run_when,
            timeout: options.timeout.map(Duration::from_nanos),
            max_attempts: options.max_attempts.unwrap_or(attempts).max(1),
            backoff: options.backoff.map_or(backoff, own_backoff),
            cancel_on_disconnect: options.cancel_on_disconnect,
            instance_bound: options.instance_bound,
            durable,
            orphaned: false,
            cancelled: false,
        })
    }

    /// Reports whether the host must store a task. The host cannot store tasks that only this process can run, such as
    /// closure tasks. The setting `durable` does not apply to these tasks. If the guest asks for such a task as a
    /// durable task, returns an error.
    fn is_durable(&self, options: &TaskOptions) -> Result<bool, EnqueueError> {
        let here = limits::refuses_durable(options.instance_bound, options.cancel_on_disconnect);
        match here {
            _ if !options.durable => Ok(self.durability.by_default && here.is_none()),
            Some(reason) => Err(EnqueueError::Unsupported(reason.to_owned())),
            None if !self.durability.possible => Err(EnqueueError::Unsupported(NO_STORE.to_owned())),
            None => Ok(true),
        }
    }

    /// Appends an accepted task to the queue.
    pub(crate) fn push(&mut self, task: Task) -> TaskId {
        let id = task.id;
        self.durable += u32::from(task.durable);
        self.backlog.accepted();
        self.waiting.push_back(task);
        id
    }

    /// Reports whether the host must store an accepted task now instead of appending the task to the queue. The result
    /// is true if the task is durable and the handler has ended.
    pub(crate) fn stores_now(&self, task: &Task) -> bool {
        task.durable && self.handler_ended
    }

    /// Takes back the acceptance of a task that the host could not store. The task and the `args` bytes of the task's
    /// arguments no longer count toward the limits, and the next task gets the number `id`. If the host has accepted
    /// another task in the meantime, nothing changes.
    pub(crate) fn refuse(&mut self, id: TaskId, args: usize) {
        if TaskId::from(self.accepted.tasks) == id {
            self.accepted.tasks -= 1;
            self.accepted.args -= args as u64;
        }
    }

    /// Records that the handler has ended. From now on, the host stores each new durable task as soon as the guest adds
    /// the task. Returns copies of the waiting durable tasks that must run, because their condition (success, failure
    /// or always) fits how the handler ended. The caller must store these tasks together. If no durable task waits,
    /// this function allocates no memory.
    pub(crate) fn end_of_handler(&mut self, failed: bool) -> Vec<Task> {
        self.handler_ended = true;
        if self.durable == 0 {
            return Vec::new();
        }
        self.waiting.iter().filter(|task| task.is_stored_after(failed)).cloned().collect()
    }

    /// Removes from the queue the tasks that the host has stored, and returns these tasks. The host calls this function
    /// when the host has stored the copies from [`Queue::end_of_handler`]. Workers then run the tasks.
    pub(crate) fn hand_over(&mut self, failed: bool) -> Vec<Task> {
        let (stored, waiting) =
            mem::take(&mut self.waiting).into_iter().partition::<Vec<_>, _>(|task| task.is_stored_after(failed));
        self.waiting = waiting.into();
        stored.iter().for_each(|_| self.backlog.ended());
        stored
    }

    /// Records that the host has stored a task.
    pub(crate) fn note_stored(&mut self, task: StoredTask) {
        self.stored.push(task);
    }

    /// Returns the generation of new durable tasks.
    pub(crate) fn generation(&self) -> u32 {
        self.durability.generation
    }

    /// Returns the number of waiting batches in the task engine at which the host refuses the durable tasks of further
    /// requests.
    pub(crate) fn max_backlog(&self) -> u64 {
        self.limits.backlog
    }

    /// Removes and returns the records of the tasks that the host has stored.
    pub(crate) fn take_stored(&mut self) -> Vec<StoredTask> {
        mem::take(&mut self.stored)
    }

    /// Cancels a task that has not started. Returns false if no waiting task has this id, or if the guest has already
    /// cancelled the task.
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

    /// Records that the instance has died. Waiting tasks that are bound to the dead instance can no longer run. Tasks
    /// that a new instance adds later are not affected.
    pub(crate) fn orphan(&mut self) {
        for task in &mut self.waiting {
            task.orphaned = task.instance_bound;
        }
    }

    /// Returns the failure policy, which decides what happens to the tasks behind a failed task.
    pub(crate) fn policy(&self) -> FailurePolicy {
        self.policy
    }

    /// Sets the failure policy, which decides what happens to the tasks behind a failed task.
    pub(crate) fn set_policy(&mut self, policy: FailurePolicy) {
        self.policy = policy;
    }

    /// Removes and returns the first waiting task. Tasks leave the queue in the order in which the guest has added the
    /// tasks.
    pub(crate) fn next(&mut self) -> Option<Task> {
        self.waiting.pop_front()
    }

    /// If the queue is empty, closes the queue and returns true. A closed queue accepts no further tasks.
    pub(crate) fn close_if_empty(&mut self) -> bool {
        self.closed = self.waiting.is_empty();
        self.closed
    }
}

fn own_backoff(own: types::Backoff) -> Backoff {
    Backoff { first: Duration::from_nanos(own.first), max: Duration::from_nanos(own.max) }
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
