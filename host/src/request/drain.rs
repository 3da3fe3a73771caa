//! Runs a request's tasks one after the other. Each task ends in exactly one final state (promises S1, S3, S4, S6, S7,
//! S10, S14 and S15).

#[cfg(test)]
mod model;

use std::mem;
use std::time::Duration;

use epilogue_rules::limits::cut;
use epilogue_rules::verdict::{self, Situation};
use epilogue_rules::words;
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::component::instance::Interrupted;
use crate::contract::bindings::{FailurePolicy, ResponseOutcome, RunWhen, TaskError, types};
use crate::request::ready::Ready;
use crate::request::{Life, SETTLE};
use crate::tasks::ids::RequestIds;
use crate::tasks::queue::Task;
use crate::tasks::record::{Retry, TaskRecord, TaskState};

/// How an attempt of a task ended, and when.
pub(crate) struct Attempted {
    pub(crate) state: TaskState,
    /// The reason if the attempt did not succeed.
    pub(crate) error: Option<String>,
    pub(crate) ended: Instant,
}

impl Life {
    /// Runs the tasks in the order in which the guest has added them, until the queue is empty. A running task may add
    /// more tasks. `now` is the current time. Returns the time of the end.
    pub(crate) async fn drain(&mut self, mut now: Instant) -> Instant {
        let mut failed = false;
        while let Some(task) = self.next_task(&mut now).await {
            self.start_drain(now);
            let record = match self.verdict(&task, failed, now) {
                Some((state, reason)) => {
                    TaskRecord { ended: Some(now), ..self.record_of(&task, state, 0, Some(reason)) }
                }
                None => self.run(task, now).await,
            };
            failed |= record.state.is_failure();
            // A task begins when the task before it has ended. The clock is read only once, because reading the clock
            // takes long compared with the other steps between two tasks.
            now = record.ended.unwrap_or(now);
            self.record_queued(record);
        }
        now
    }

    /// Records and logs the end of a task that came from the queue.
    pub(super) fn record_queued(&mut self, record: TaskRecord) {
        self.running = None;
        self.observer.backlog().ended();
        self.record_task(record);
    }

    /// Records and logs the end of a task.
    pub(crate) fn record_task(&mut self, record: TaskRecord) {
        if record.state == TaskState::Abandoned && self.has_stopped() {
            self.observer.abandoned_at_stop();
        }
        let record = self.record.tasks.push_mut(record);
        record.announce(self.scope.ids());
        self.scope.note(|timeline| timeline.task_ended(record));
    }

    /// Waits for work that the guest spawned in earlier calls, but no longer than [`SETTLE`], and then returns the next
    /// task of the queue. If the queue is empty but spawned work still runs, waits until this work has ended or the
    /// time for the request's tasks is used up, because the spawned work may add a task (promise S18). `now` must
    /// be the current time. After a wait, sets `now` to the current time.
    async fn next_task(&mut self, now: &mut Instant) -> Option<Task> {
        if self.is_settled() {
            return self.scope.queue().next();
        }
        self.start_drain(*now);
        let left = self.budget_left(*now);
        let settled = self.settle(SETTLE.min(left), left).await;
        *now = Instant::now();
        let next = self.scope.queue().next();
        if settled || next.is_some() {
            return next;
        }
        let left = self.budget_left(*now);
        if !self.settle(left, left).await {
            self.record_error("work that the guest had spawned did not end in time, and will be stopped", None);
        }
        *now = Instant::now();
        self.scope.queue().next()
    }

    /// Decides whether the host runs a task. Returns `None` if the host must run the task. Otherwise, returns the
    /// task's final state and the reason.
    fn verdict(&self, task: &Task, failed: bool, now: Instant) -> Option<(TaskState, String)> {
        let stop_on_failure = self.scope.queue().policy() == FailurePolicy::Stop;
        let late = self.budget_left(now).is_zero();
        let situation = Situation {
            handler_failed: matches!(self.record.outcome, ResponseOutcome::HandlerFailed(_)),
            client_gone: matches!(self.record.outcome, ResponseOutcome::ClientGone),
            failed,
            stop_on_failure,
            stopped: self.pool.shutdown.has_stopped(now),
            late,
            // The rules discard every durable task that is still in the queue. `Life::store` has already taken the
            // stored tasks out of the queue, and later durable tasks never enter the queue. So a durable task in the
            // queue could not be stored, or its condition does not fit the end of the handler. The host must not run
            // this task from memory, because the guest asked for a task that survives this process. If the task could
            // not be stored, the client got an error.
            not_stored: self.not_stored.as_deref(),
        };
        situation.verdict(&facts(task)).map(|(state, reason)| (state, reason.to_owned()))
    }

    /// Runs a task with all its retries, and returns the record of its end.
    async fn run(&mut self, mut task: Task, start: Instant) -> TaskRecord {
        let mut attempt = 0;
        let mut now = start;
        loop {
            attempt += 1;
            self.running = Some(self.record_of(&task, TaskState::Abandoned, attempt, None));
            let attempted = self.attempt(&mut task, attempt, now).await;
            let orphaned = task.instance_bound && !self.has_instance();
            if attempt >= task.max_attempts || !attempted.state.is_failure() || orphaned {
                return self.record_after(&task, attempt, start, attempted);
            }
            self.note_attempt_end(task.id, &attempted);
            let Attempted { state, error, .. } = attempted;
            let again = self.wait_to_retry(&task, attempt, error.as_deref()).await;
            now = Instant::now();
            if !again {
                // The host has stopped before the task's next attempt, so the failed attempt is not the reason for the
                // task's end.
                let state = if self.has_stopped() { TaskState::Abandoned } else { state };
                return self.record_after(&task, attempt, start, Attempted { state, error, ended: now });
            }
        }
    }

    /// Runs one attempt of a task. `now` is the planned start of the attempt.
    pub(crate) async fn attempt(&mut self, task: &mut Task, attempt: u32, now: Instant) -> Attempted {
        // Events that other code logs during the attempt, such as events of outgoing requests, get these fields.
        let RequestIds { request, trace_id } = self.scope.ids();
        let span = tracing::info_span!(
            target: "epilogue::task", "task", request, task = task.id, name = task.name, attempt, trace_id
        );
        let call = Box::new(types::Task {
            id: task.id,
            name: task.name.clone(),
            // The last attempt takes the arguments without copying them. Most tasks have only one attempt, and
            // arguments can be large.
            args: if attempt < task.max_attempts { task.args.clone() } else { mem::take(&mut task.args) },
            attempt,
            outcome: self.record.outcome.clone(),
        });
        let own = self.pool.component.settings.task_timeout;
        let limit = task.timeout.map_or(own, |asked| asked.min(own));
        let Ready { instance, start, budget_left } = match self.instance(now, task, attempt).await {
            Ok(ready) => ready,
            Err(error) => {
                let (state, error) = (TaskState::Abandoned, Some(error.to_string()));
                return Attempted { state, error, ended: Instant::now() };
            }
        };
        let limit = limit.min(budget_left);
        let (state, error) = match instance.run_task(task.layer, call, start, limit).instrument(span).await {
            Ok(Ok(())) => (TaskState::Succeeded, None),
            Ok(Err(error)) => (TaskState::Failed, Some(cut(describe(error, &task.name)))),
            Err(interrupted) => {
                self.lose_instance(&interrupted);
                let state = match interrupted {
                    Interrupted::Trapped(_) => TaskState::Trapped,
                    Interrupted::TimedOut(_) => TaskState::TimedOut,
                    Interrupted::Stopped => TaskState::Abandoned,
                };
                (state, Some(cut(interrupted.to_string())))
            }
        };
        self.scope.calls_belong_to(None);
        Attempted { state, error, ended: Instant::now() }
    }

    /// Makes the record of a task that has ended after its last attempt, which is `attempted`. `start` is the start of
    /// the first attempt.
    pub(crate) fn record_after(&self, task: &Task, attempt: u32, start: Instant, attempted: Attempted) -> TaskRecord {
        let Attempted { state, error, ended } = attempted;
        let record = self.record_of(task, state, attempt, error);
        TaskRecord { elapsed: ended - start, ended: Some(ended), ..record }
    }

    /// Makes the record of a task that ends in `state`, with a duration of zero. Does not add the task's record to the
    /// request's record.
    pub(crate) fn record_of(&self, task: &Task, state: TaskState, attempt: u32, error: Option<String>) -> TaskRecord {
        let component = self.pool.component.layers[task.layer].id.clone();
        TaskRecord {
            id: task.id,
            name: task.name.clone(),
            component,
            state,
            dead: false,
            attempt,
            elapsed: Duration::ZERO,
            ended: None,
            error,
        }
    }

    /// Logs that an attempt has failed, and waits for the pause before the next attempt (the backoff). Returns false if
    /// the host stops during the wait. If the time that is left for the request's tasks does not suffice for the pause,
    /// returns false without logging or waiting.
    async fn wait_to_retry(&mut self, task: &Task, attempt: u32, error: Option<&str>) -> bool {
        let pause = task.backoff.pause(attempt, fastrand::u32(..));
        if pause >= self.budget_left(Instant::now()) {
            return false;
        }
        self.announce_retry(task, attempt, error, pause);
        self.wait(pause).await
    }

    /// Logs that an attempt has failed and that the next attempt follows after `pause`.
    pub(crate) fn announce_retry(&self, task: &Task, attempt: u32, error: Option<&str>, pause: Duration) {
        let (ids, component) = (self.scope.ids(), &*self.pool.component.layers[task.layer].id);
        Retry { ids, component, task: task.id, name: &task.name, attempt, error, pause }.announce();
    }

    /// Waits for `pause`. Returns false if less time than `pause` is left for the request's tasks, or if the host stops
    /// during the wait.
    pub(super) async fn wait(&mut self, pause: Duration) -> bool {
        if pause >= self.budget_left(Instant::now()) {
            return false;
        }
        let mut shutdown = self.pool.shutdown.clone();
        tokio::select! {
            () = tokio::time::sleep(pause) => true,
            () = shutdown.stopped() => false,
        }
    }

    /// Reports whether the host's shutdown has stopped all tasks, because the grace period has ended, or because an
    /// operator has ended the grace period early.
    pub(super) fn has_stopped(&self) -> bool {
        self.pool.shutdown.has_stopped(Instant::now())
    }
}

/// Copies the properties of a task that the rules need to decide whether the host runs the task.
fn facts(task: &Task) -> verdict::Task {
    verdict::Task {
        run_when: match task.run_when {
            RunWhen::Success => verdict::RunWhen::Success,
            RunWhen::Failure => verdict::RunWhen::Failure,
            RunWhen::Always => verdict::RunWhen::Always,
        },
        cancelled: task.cancelled,
        cancel_on_disconnect: task.cancel_on_disconnect,
        durable: task.durable,
        orphaned: task.orphaned,
    }
}

fn describe(error: TaskError, name: &str) -> String {
    match error {
        TaskError::Failed(error) => error,
        TaskError::UnknownTask => words::unknown_task(name),
        TaskError::BadArgs(error) => words::bad_arguments(&error),
    }
}
