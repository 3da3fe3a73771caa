//! Stores durable tasks in a task engine. Workers lease the stored tasks and run the tasks.
//!
//! ```text
//! handler ──add──▶ queue ──store──▶ engine ──lease──▶ worker: attempt ─▶ checkpoint ─▶ … ─▶ tear down ─▶ ack
//! ```
//!
//! After the handler has returned, and before the host sends the response headers, the host stores all durable tasks of
//! the handler as one batch. If the guest adds a durable task after the handler has returned, the host stores the task
//! before the guest gets the task's id. `worker/lease.rs` describes how a worker runs a batch.

mod full;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use epilogue_engines as engines;
use epilogue_engines::{Batch, Counts, Error, IoThread, OnFailure, Options, Outcome, TaskEngine};
use epilogue_manifest::settings::HostOptions;
use futures::future::BoxFuture;

use crate::contract::bindings::{EnqueueError, FailurePolicy, ResponseOutcome, TaskId};
use crate::tasks::layer::Layer;
use crate::tasks::queue::Task;
use crate::tasks::record::StoredTask;
use crate::tasks::scope::Scope;

/// A task engine, and the thread on which the host calls the task engine. No guest runs on this thread, so a call to
/// the task engine never waits for a guest. A call runs to its end even if the calling code no longer waits for the
/// result.
#[derive(Clone)]
pub struct TaskStore {
    task_engine: Arc<dyn TaskEngine>,
    io: IoThread,
    pub(crate) visibility: Duration,
    /// The task engine's address, without a password.
    address: Arc<str>,
    known: Arc<full::Known>,
}

impl TaskStore {
    /// Opens the task engine that these options name. Returns `None` if the options name no task engine. If the task
    /// engine's server does not answer, logs a warning and returns no error, because the host can still serve requests
    /// that add no durable tasks.
    ///
    /// # Errors
    ///
    /// Returns an error if the URL is not the address of a task engine, or if the task engine's file cannot be opened.
    /// Also returns an error if waiting does not help: for example, if the password is wrong, the host name is unknown,
    /// the database does not exist, or the server is not a task engine.
    pub fn of(options: &HostOptions) -> anyhow::Result<Option<Self>> {
        let Some(url) = &options.engine else { return Ok(None) };
        let options = Options { visibility: options.visibility_timeout, ..Options::default() };
        let store = Self::open(url, options)?;
        match store.wait(|task_engine| async move { task_engine.counts().await }) {
            Ok(counts) => {
                tracing::info!(target: "epilogue::durable", "durable tasks: {}", summary(&counts));
                // The server may refuse to answer the question about risks. In this case, the host still uses the task
                // engine.
                let risks = store.wait(|task_engine| async move { task_engine.risks().await });
                risks.unwrap_or_default().iter().for_each(|risk| tracing::warn!(target: "epilogue::durable", "{risk}"));
            }
            Err(Error::Unavailable(why)) => {
                tracing::warn!(target: "epilogue::durable", "durable tasks are refused for now, because the task engine is not available: {why}");
            }
            Err(error) => return Err(unusable(error)),
        }
        Ok(Some(store))
    }

    /// Opens the task engine that a URL names.
    pub(crate) fn open(url: &str, options: Options) -> anyhow::Result<Self> {
        let visibility = options.visibility;
        let io = IoThread::start("epilogue-engine").context("cannot start the task engine's thread")?;
        let address: Arc<str> = engines::address(url).into();
        let task_engine = {
            let _context = io.runtime().enter();
            engines::connect(url, options).map_err(|error| unusable(named(&address, error)))?
        };
        Ok(Self { task_engine, io, visibility, address, known: Arc::default() })
    }

    /// Reports whether processes on other machines can use the task engine too.
    pub(crate) fn is_shared(&self) -> bool {
        !["memory:", "sqlite:"].iter().any(|scheme| self.address.starts_with(scheme))
    }

    /// Calls the task engine, on the separate thread for these calls.
    pub(crate) async fn call<T, F>(&self, call: impl FnOnce(Arc<dyn TaskEngine>) -> F) -> engines::Result<T>
    where
        T: Send + 'static,
        F: Future<Output = engines::Result<T>> + Send + 'static,
    {
        self.io.call(call(self.task_engine.clone())).await.map_err(|error| named(&self.address, error))
    }

    /// Calls the task engine, and blocks the calling thread until the call has ended. Do not use this function on a
    /// thread that runs an event loop, because the event loop would stop for this time.
    pub(crate) fn wait<T, F>(&self, call: impl FnOnce(Arc<dyn TaskEngine>) -> F) -> engines::Result<T>
    where
        T: Send + 'static,
        F: Future<Output = engines::Result<T>> + Send + 'static,
    {
        futures::executor::block_on(self.call(call))
    }

    pub(crate) async fn enqueue(&self, batch: Batch) -> engines::Result<()> {
        self.call(|task_engine| async move { task_engine.enqueue(&batch).await }).await?;
        self.known.stored();
        Ok(())
    }

    /// Stores a durable task that the guest adds after the handler has returned. The host accepts the task when the
    /// task engine has confirmed that the task is stored. The returned future stores the task, so the caller must poll
    /// the future.
    pub(crate) fn add(
        &self,
        scope: &Arc<Scope>,
        layers: &[Layer],
        task: Task,
    ) -> BoxFuture<'static, Result<TaskId, EnqueueError>> {
        let (store, scope, stored) = (self.clone(), scope.clone(), stored(layers, &task));
        let (id, args, limit) = (task.id, task.args.len(), scope.queue().max_backlog());
        let batch = batch(&scope, layers, scope.outcome.get().map(to_outcome), vec![task]);
        Box::pin(async move {
            if !store.has_room(limit).await {
                scope.queue().refuse(id, args);
                return Err(EnqueueError::BacklogFull(limit));
            }
            match store.enqueue(batch).await {
                Ok(()) => {
                    stored.announce(scope.ids());
                    scope.note(|timeline| timeline.stored(&stored));
                    scope.queue().note_stored(stored);
                    Ok(id)
                }
                Err(error) => {
                    scope.queue().refuse(id, args);
                    Err(match error {
                        Error::TooLarge { limit, .. } => EnqueueError::ArgsTooLarge(limit as u64),
                        error => EnqueueError::Other(format!("it could not be stored: {error}")),
                    })
                }
            }
        })
    }
}

/// Describes how many batches the task engine holds in each state. The host calls this function when the host starts,
/// so other processes hold the leases, and these processes may have died.
fn summary(counts: &Counts) -> String {
    let Counts { ready, delayed, leased, dead } = counts;
    let leased = match leased {
        0 => "0 leased".to_owned(),
        leased => format!("{leased} leased (by workers that may have died)"),
    };
    format!("{ready} ready, {delayed} delayed, {leased}, {dead} dead")
}

/// Adds the task engine's address to an error, unless the error already contains the address.
fn named(address: &str, error: Error) -> Error {
    let named = |why: String| if why.contains(address) { why } else { format!("{address}: {why}") };
    match error {
        Error::Unavailable(why) => Error::Unavailable(named(why)),
        Error::Config(why) => Error::Config(named(why)),
        error => error,
    }
}

/// The reason why the host could not store a request's durable tasks.
#[derive(Debug)]
pub(crate) enum NotStored {
    /// The task engine has refused the tasks, or is not available.
    TaskEngine(Error),
    /// The limit `max-backlog` is reached. The value is the limit: the durable tasks of this number of requests already
    /// wait in the task engine.
    BacklogFull(u64),
}

impl fmt::Display for NotStored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TaskEngine(error) => error.fmt(f),
            Self::BacklogFull(limit) => {
                write!(f, "the durable tasks of {limit} requests wait already, which is the limit (max-backlog)")
            }
        }
    }
}

/// Makes an error say that the task engine cannot be used. Returns [`Error::Unavailable`] unchanged, because the text
/// of this error already says that the task engine is not available.
fn unusable(error: Error) -> anyhow::Error {
    match error {
        Error::Unavailable(_) => error.into(),
        error => anyhow::Error::new(error).context("the task engine cannot be used"),
    }
}

/// Makes a batch from durable tasks of a request.
pub(crate) fn batch(scope: &Scope, layers: &[Layer], outcome: Option<Outcome>, tasks: Vec<Task>) -> Batch {
    let component = layers.last().map_or("", |layer| &layer.id);
    let to_stored = |task: Task| engines::Task {
        id: task.id,
        layer: layers.get(task.layer).filter(|_| task.layer + 1 < layers.len()).map(|layer| layer.id.to_string()),
        name: task.name,
        args: task.args,
        max_attempts: task.max_attempts,
        timeout: task.timeout,
        backoff: Some(engines::Backoff { first: task.backoff.first, max: task.backoff.max }),
    };
    let (policy, generation) = {
        let queue = scope.queue();
        (queue.policy(), queue.generation())
    };
    Batch {
        generation,
        traceparent: Some(scope.trace_context.traceparent.clone()),
        tracestate: scope.trace_context.tracestate.clone(),
        outcome,
        on_failure: match policy {
            FailurePolicy::Stop => OnFailure::Stop,
            FailurePolicy::Continue => OnFailure::Continue,
        },
        ..Batch::new(component, &scope.id, tasks.into_iter().map(to_stored).collect())
    }
}

pub(crate) fn stored(layers: &[Layer], task: &Task) -> StoredTask {
    let component = layers.get(task.layer).map_or_else(|| "".into(), |layer| layer.id.clone());
    StoredTask { id: task.id, name: task.name.clone(), component }
}

fn to_outcome(outcome: &ResponseOutcome) -> Outcome {
    match outcome {
        ResponseOutcome::Delivered => Outcome::Delivered,
        ResponseOutcome::ClientGone => Outcome::ClientGone,
        ResponseOutcome::ResponseFailed(why) => Outcome::ResponseFailed(why.clone()),
        ResponseOutcome::HandlerFailed(why) => Outcome::HandlerFailed(why.clone()),
    }
}

/// Returns the outcome that a stored task sees. A task stored before the response sees the outcome `delivered`, because
/// the real outcome is not known yet.
pub(crate) fn to_response_outcome(outcome: Option<&Outcome>) -> ResponseOutcome {
    match outcome {
        None | Some(Outcome::Delivered) => ResponseOutcome::Delivered,
        Some(Outcome::ClientGone) => ResponseOutcome::ClientGone,
        Some(Outcome::ResponseFailed(why)) => ResponseOutcome::ResponseFailed(why.clone()),
        Some(Outcome::HandlerFailed(why)) => ResponseOutcome::HandlerFailed(why.clone()),
    }
}
