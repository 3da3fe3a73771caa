//! Runs a leased batch. The worker runs one task after the other, and tells the task engine each time that a task has
//! ended. After the last task, the worker runs the teardown.
//!
//! The process may be killed between any two lines of this file. For this reason, the task engine stores which tasks
//! must still run, and how many attempts each task has had. The worker logs the end of a task right after the task
//! engine has confirmed this end. If the worker has lost its lease, it does not log the end of the task.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use epilogue_engines::{self as engines, Batch, OnFailure};
use epilogue_rules::backoff::Backoff;
use tokio::time::{Instant, sleep};

use super::held::{Held, Next, PAUSE, Whereabouts};
use crate::component::no_instance::NoInstance;
use crate::component::pool::Pool;
use crate::contract::bindings::{FailurePolicy, RunWhen, TraceContext};
use crate::request::{Life, SETTLE};
use crate::tasks::ids::RequestIds;
use crate::tasks::observer::Observer;
use crate::tasks::queue::{Queue, Task};
use crate::tasks::record::{TaskRecord, TaskState};
use crate::tasks::scope::Scope;
use crate::tasks::store::to_response_outcome;
use crate::telemetry::otlp::trace::Trace;

/// Runs a leased batch. Returns if all tasks of the batch have ended, if a task must wait for its next attempt, if the
/// host stops, or if the lease is lost.
pub(super) async fn run(held: Held, batch: Batch, pools: &[Rc<Pool>], observer: Rc<Observer>) {
    let work = async {
        match LeasedBatch::begin(&held, &batch, pools, observer).await {
            Ok(mut leased) => leased.run().await,
            Err(NotBegun::NoRoom) => {
                sleep(PAUSE).await;
                held.release().await
            }
            Err(NotBegun::Failed(why)) => fail(&held, &batch, why).await,
        }
    };
    let ended = tokio::select! {
        // `select` must poll the work first. When the task engine has confirmed the end of the batch, the worker cannot
        // extend the lease any more, so both futures can be ready. In this case, the worker must log the end of the
        // batch (promise S3).
        biased;
        ended = work => ended,
        lost = held.keep() => Err(lost),
    };
    if let Err(error) = ended {
        let why = held.whereabouts(&batch.id).await;
        let RequestIds { request, trace_id } = RequestIds::of_batch(&batch);
        tracing::warn!(target: "epilogue::worker", request, batch = batch.id, trace_id, "{why}: {error}");
    }
}

/// A running batch, with the [`Life`] that runs the batch's tasks.
struct LeasedBatch<'a> {
    held: &'a Held,
    batch: &'a Batch,
    /// For each task, the position of the component's layer that runs the task.
    layers: Vec<usize>,
    life: Life,
}

/// The reason why this process cannot begin a batch.
enum NotBegun {
    /// The host cannot hold another instance now, or the host is stopping. The host does not count an attempt of the
    /// batch's next task.
    NoRoom,
    /// The application has no such component or task, or the host cannot start the component. The host counts a failed
    /// attempt of the batch's next task.
    Failed(String),
}

/// The reason why a worker stops working on a batch.
enum End {
    /// All tasks of the batch have ended.
    Done,
    /// The next task has not started, because the host is stopping or the time limit for the batch has been reached.
    /// The worker that leases the batch later has the full time limit for the remaining tasks.
    Interrupted,
    /// An attempt of the next task has failed. `failed` is the record of the attempt. After `pause`, a worker retries
    /// the task.
    Again { task: Box<Task>, failed: TaskRecord, pause: Duration },
    /// The host is stopping and has interrupted an attempt of the next task. Another worker may retry the task
    /// immediately.
    CutShort,
    /// The next task has failed for good. The value is the task's record.
    Failed(TaskRecord),
}

impl<'a> LeasedBatch<'a> {
    /// Takes an instance of the batch's component, and prepares to run the batch's tasks.
    async fn begin(
        held: &'a Held,
        batch: &'a Batch,
        pools: &[Rc<Pool>],
        observer: Rc<Observer>,
    ) -> Result<Self, NotBegun> {
        let (pool, layers) = find(pools, batch).ok_or_else(|| {
            let names: Vec<_> = batch.tasks.iter().map(|task| task.name.as_str()).collect();
            let (component, names) = (&batch.component, names.join(", "));
            NotBegun::Failed(format!(
                "this version of the application has no component {component:?} with the tasks {names}"
            ))
        })?;
        let scope = Arc::new(scope(batch, &pool, &observer));
        let mut life = Life::of(pool, scope, observer).await.map_err(|error| match error {
            NoInstance::Full(_) | NoInstance::Stopped => NotBegun::NoRoom,
            NoInstance::TimedOut(_) | NoInstance::Failed(_) => NotBegun::Failed(error.to_string()),
        })?;
        let first = held.next().await.map_or(batch.tasks.len(), |next| next.index as usize);
        life.follow_batch(batch, batch.tasks.get(first..).unwrap_or_default());
        life.record.outcome = to_response_outcome(batch.outcome.as_ref());
        if batch.outcome.is_some() {
            _ = life.scope.outcome.set(life.record.outcome.clone());
        }
        Ok(Self { held, batch, layers, life })
    }

    async fn run(&mut self) -> engines::Result<()> {
        let mut first = true;
        let end = loop {
            let Some(next) = self.held.next().await else { break End::Done };
            if let Some(end) = self.step(next, first).await? {
                break end;
            }
            first = false;
        };
        self.life.conclude(Instant::now()).await;
        match end {
            End::Done => self.held.ack().await,
            End::Interrupted => self.held.release().await,
            End::CutShort => self.held.retry(Duration::ZERO).await,
            End::Again { task, failed, pause } => {
                self.held.retry(pause).await?;
                self.life.announce_retry(&task, failed.attempt, failed.error.as_deref(), pause);
                Ok(())
            }
            // The tasks behind the failed task also wait in the dead letter.
            End::Failed(record) => {
                self.held.bury(record.error.as_deref().unwrap_or_default()).await?;
                self.life.record_task(TaskRecord { dead: true, ..record });
                Ok(())
            }
        }
    }

    /// Makes one attempt of the next task. Returns `None` if the worker must go on with the following task.
    async fn step(&mut self, next: Next, first: bool) -> engines::Result<Option<End>> {
        let Next { index, task, attempt, exhausted } = next;
        let mut task = to_task(&task, self.layers.get(index as usize).copied().unwrap_or_default());
        let life = &mut self.life;
        if exhausted {
            let attempts = attempt - 1;
            let why = format!("its worker ended during the last of {attempts} attempts");
            let record = life.record_of(&task, TaskState::Abandoned, attempts, Some(why));
            return self.failed(index, record).await;
        }
        let now = Instant::now();
        life.start_drain(now);
        if !first {
            // Work that the previous task spawned may run a little longer (promise S18).
            let left = life.budget_left(now);
            life.settle(SETTLE.min(left), left).await;
        }
        if life.pool.shutdown.has_begun() || life.budget_left(Instant::now()).is_zero() {
            return Ok(Some(End::Interrupted));
        }
        self.held.confirm().await?;
        let _running = life.observer.durable_task();
        let start = Instant::now();
        let attempted = life.attempt(&mut task, attempt, start).await;
        let state = attempted.state;
        life.note_attempt_end(task.id, &attempted);
        let record = life.record_after(&task, attempt, start, attempted);
        if state == TaskState::Succeeded {
            self.held.checkpoint(index + 1).await?;
            life.record_task(record);
            return Ok(None);
        }
        if state == TaskState::Abandoned || attempt < task.max_attempts {
            // If the host is stopping, it has interrupted the task before the task's time limit. So the attempt does
            // not count as failed.
            if state == TaskState::Abandoned && life.pool.shutdown.has_begun() {
                return Ok(Some(End::CutShort));
            }
            let pause = task.backoff.pause(attempt, fastrand::u32(..));
            return Ok(Some(End::Again { task: Box::new(task), failed: record, pause }));
        }
        self.failed(index, record).await
    }

    /// Handles a task that has failed for good. The failure policy of the batch decides whether only this task goes to
    /// the dead letter, or also the tasks behind this task. If the worker is killed between `bury_apart` and
    /// `checkpoint`, the task is both in the dead letter and in the batch. The worker that leases the batch next sees
    /// that the task has no attempts left, and calls this function again.
    async fn failed(&mut self, index: u32, record: TaskRecord) -> engines::Result<Option<End>> {
        let policy = self.life.scope.queue().policy();
        if policy == FailurePolicy::Stop {
            return Ok(Some(End::Failed(record)));
        }
        let apart = self.batch.only(index);
        self.held.bury_apart(apart.clone(), record.error.as_deref().unwrap_or_default()).await?;
        if let Err(error) = self.held.checkpoint(index + 1).await {
            // If an operator has dropped the batch in the meantime, the operator's command has logged the task as
            // dropped. So the task must not stay in the dead letter.
            if self.held.whereabouts(&self.batch.id).await == Whereabouts::Dropped {
                _ = self.held.remove(apart.id).await;
            }
            return Err(error);
        }
        self.life.record_task(TaskRecord { dead: true, ..record });
        Ok(None)
    }
}

/// Handles a batch that this application cannot run. Counts a failed attempt of the batch's next task. If the next task
/// has attempts left, any worker may retry the task later. If the next task has no attempts left, moves the batch to
/// the dead letter.
async fn fail(held: &Held, batch: &Batch, why: String) -> engines::Result<()> {
    let Some(Next { task, attempt, .. }) = held.next().await else { return held.ack().await };
    if attempt < task.max_attempts {
        let RequestIds { request, trace_id } = RequestIds::of_batch(batch);
        tracing::warn!(target: "epilogue::worker", request, error = why, trace_id, "a batch cannot be run here");
        return held.retry(to_backoff(&task).pause(attempt, fastrand::u32(..))).await;
    }
    held.bury(&why).await?;
    let record =
        TaskRecord { dead: true, attempt, error: Some(why), ..TaskRecord::of_stored(batch, &task, TaskState::Failed) };
    record.announce(RequestIds::of_batch(batch));
    Ok(())
}

/// Finds the component that runs a batch, and for each task of the batch the layer that runs the task.
fn find(pools: &[Rc<Pool>], batch: &Batch) -> Option<(Rc<Pool>, Vec<usize>)> {
    pools.iter().filter(|pool| pool.component.id == batch.component).find_map(|pool| {
        let layers = &pool.component.layers;
        let place = |task: &engines::Task| {
            let place = match &task.layer {
                None => layers.len().checked_sub(1),
                Some(name) => layers.iter().position(|layer| *layer.id == **name),
            };
            place.filter(|place| layers.get(*place).is_some_and(|layer| layer.runs_tasks))
        };
        Some((pool.clone(), batch.tasks.iter().map(place).collect::<Option<_>>()?))
    })
}

/// Makes the scope of the request that enqueued the batch, from the data in the batch.
fn scope(batch: &Batch, pool: &Pool, observer: &Observer) -> Scope {
    let component = &pool.component;
    let policy = match batch.on_failure {
        OnFailure::Stop => FailurePolicy::Stop,
        OnFailure::Continue => FailurePolicy::Continue,
    };
    let last = batch.tasks.iter().map(|task| task.id).max().unwrap_or_default();
    let queue = Queue::new(&component.settings, component.task_store.is_some(), observer.backlog().clone()).resume(
        policy,
        last,
        batch.generation,
    );
    let trace_context = TraceContext {
        traceparent: batch.traceparent.clone().unwrap_or_default(),
        tracestate: batch.tracestate.clone(),
    };
    let trace = observer.readers.spans.clone().map(|spans| {
        let tasks = batch.tasks.iter().map(|task| task.id).collect();
        Trace::of_batch(spans, (&trace_context.traceparent, trace_context.tracestate.as_deref()), tasks)
    });
    let timeline = observer.readers.begin(Instant::now().into_std(), |_| ());
    Scope::resume(batch.request_id.clone(), batch.key().to_owned(), trace_context, queue, trace, timeline)
}

fn to_task(stored: &engines::Task, layer: usize) -> Task {
    Task {
        id: stored.id,
        layer,
        name: stored.name.clone(),
        args: stored.args.clone(),
        run_when: RunWhen::Always,
        timeout: stored.timeout,
        max_attempts: stored.max_attempts.max(1),
        backoff: to_backoff(stored),
        cancel_on_disconnect: false,
        instance_bound: false,
        durable: true,
        orphaned: false,
        cancelled: false,
    }
}

/// Returns the backoff of a stored task. If an older version of the host stored the task without a backoff, returns the
/// default backoff.
fn to_backoff(stored: &engines::Task) -> Backoff {
    stored.backoff.map_or(Backoff::DURABLE, |engines::Backoff { first, max }| Backoff { first, max })
}
