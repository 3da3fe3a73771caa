//! Implements the interfaces `queue`, `context` and `stop-signal` of `epilogue:background`. Guests call these
//! interfaces to enqueue tasks, to read the id of their request, and to get a signal shortly before the host stops
//! them.
//!
//! [`Background`] has all data that these interfaces use. The caller of [`add_to_linker`] passes a function that finds
//! the [`Background`] in the store's data. wasmtime's own host interfaces work in the same way.

use std::cell::Cell;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use epilogue_rules::notice::notice;
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;
use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, HasData, Linker};

use crate::contract::bindings::stop_signal::{self, Stop, StopReason};
use crate::contract::bindings::{EnqueueError, FailurePolicy, RequestContext, TaskId, TaskOptions, context, types};
use crate::contract::check::QUEUE;
use crate::process::shutdown::Shutdown;
use crate::tasks::layer::Layer;
use crate::tasks::queue::{Queue, Task};
use crate::tasks::scope::Scope;
use crate::tasks::store::TaskStore;
use crate::tasks::timeline::{Named, clock};

/// The data of one instance that `queue`, `context` and `stop-signal` use.
pub(crate) struct Background {
    layers: Arc<[Layer]>,
    /// The task engine for durable tasks. The value is `None` if the host has no task engine.
    task_store: Option<TaskStore>,
    /// The current request. The value is `None` while the instance serves no request.
    pub(crate) scope: Option<Arc<Scope>>,
    /// True if the guest has asked for a teardown, and the host has not run the teardown yet.
    pub(crate) needs_teardown: Cell<bool>,
    /// The start and the deadline of the host's current call into the guest.
    pub(crate) phase: watch::Sender<Phase>,
    pub(crate) shutdown: Shutdown,
}

/// The start and the deadline of one call of the host into an instance.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Phase {
    pub(crate) start: Instant,
    pub(crate) deadline: Option<Instant>,
}

impl Phase {
    pub(crate) fn idle() -> Self {
        Self::lasting(Instant::now(), None)
    }

    /// Makes a phase that begins at `start` and lasts for `time`. If `time` is `None` or too large for the clock, the
    /// phase has no deadline.
    pub(crate) fn lasting(start: Instant, time: Option<Duration>) -> Self {
        Self { start, deadline: time.and_then(|time| start.checked_add(time)) }
    }
}

/// A function that finds the [`Background`] in a store's data.
pub(crate) type GetBackground<T> = fn(&mut T) -> &mut Background;

struct HasBackground;

impl HasData for HasBackground {
    type Data<'a> = &'a mut Background;
}

/// Adds `queue`, `context` and `stop-signal` to the imports of a component without middleware. `durable` is true if the
/// host has a task engine.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    get: GetBackground<T>,
    durable: bool,
) -> wasmtime::Result<()> {
    types::add_to_linker::<T, HasBackground>(linker, get)?;
    context::add_to_linker::<T, HasBackground>(linker, get)?;
    stop_signal::add_to_linker::<T, HasBackground>(linker, get)?;
    add_queue(linker, QUEUE, get, 0, durable)
}

/// Defines the interface `queue` under the name `name`, for the layer number `layer` of a component. A layer is the
/// application or one of its middleware. If a guest adds a task through this interface, the task runs in this layer. If
/// `durable` is true, `add-task` may wait until the host has stored the task.
pub(crate) fn add_queue<T: Send + 'static>(
    linker: &mut Linker<T>,
    name: &str,
    get: GetBackground<T>,
    layer: usize,
    durable: bool,
) -> wasmtime::Result<()> {
    let mut queue = linker.instance(name)?;
    if durable {
        queue.func_wrap_async("add-task", move |mut store: StoreContextMut<'_, T>, (name, args, options)| {
            let added = get(store.data_mut()).add_task(layer, name, args, options);
            Box::new(async move {
                Ok((match added {
                    Ok(Added::Waits(id)) => Ok(id),
                    Ok(Added::ToStore(storing)) => storing.await,
                    Err(error) => Err(error),
                },))
            })
        })?;
    } else {
        queue.func_wrap("add-task", move |mut store: StoreContextMut<'_, T>, (name, args, options)| {
            Ok((get(store.data_mut()).enqueue(layer, name, args, options),))
        })?;
    }
    queue.func_wrap("cancel", move |mut store: StoreContextMut<'_, T>, (id,): (TaskId,)| {
        Ok((get(store.data_mut()).scope.as_ref().is_some_and(|scope| scope.queue().cancel(id)),))
    })?;
    queue.func_wrap("on-failure", move |mut store: StoreContextMut<'_, T>, (policy,): (FailurePolicy,)| {
        if let Some(scope) = &get(store.data_mut()).scope {
            scope.queue().set_policy(policy);
        }
        Ok(())
    })?;
    queue.func_wrap("needs-teardown", move |mut store: StoreContextMut<'_, T>, (): ()| {
        get(store.data_mut()).needs_teardown.set(true);
        Ok(())
    })
}

impl types::Host for &mut Background {}

/// The next step of the host after the queue has accepted a task.
enum Added {
    /// The task waits in the queue, so the host need not do anything now. The value is the task's id.
    Waits(TaskId),
    /// The host must store the task before the guest gets the task's id. The value is a future that stores the task.
    ToStore(BoxFuture<'static, Result<TaskId, EnqueueError>>),
}

impl Background {
    /// Returns the id of a layer's component in the manifest. Returns `None` if there is no such layer.
    pub(crate) fn layer_id(&self, layer: usize) -> Option<&Arc<str>> {
        self.layers.get(layer).map(|layer| &layer.id)
    }

    /// Makes the data of an instance that serves no request yet. `layers` are the layers of the instance's component.
    pub(crate) fn new(layers: Arc<[Layer]>, task_store: Option<TaskStore>, shutdown: Shutdown) -> Self {
        Self {
            layers,
            task_store,
            scope: None,
            needs_teardown: Cell::new(false),
            phase: watch::Sender::new(Phase::idle()),
            shutdown,
        }
    }

    /// Records that the host begins a new call into the guest. Work that the guest has spawned in an earlier call may
    /// still wait in `stop-signal.wait`. From now on, the deadline of the new call also applies to this work.
    pub(crate) fn enter(&self, phase: Phase) {
        let asked = self.phase.receiver_count() > 0;
        self.phase.send_if_modified(|current| {
            *current = phase;
            asked
        });
    }

    fn add_task(&self, layer: usize, name: String, args: Vec<u8>, options: TaskOptions) -> Result<Added, EnqueueError> {
        let (scope, queue, task) = self.accept(layer, name, args, options)?;
        match &self.task_store {
            Some(task_store) if queue.stores_now(&task) => {
                drop(queue);
                Ok(Added::ToStore(task_store.add(scope, &self.layers, task)))
            }
            _ => Ok(Added::Waits(self.push(scope, queue, task))),
        }
    }

    fn enqueue(&self, layer: usize, name: String, args: Vec<u8>, options: TaskOptions) -> Result<TaskId, EnqueueError> {
        self.accept(layer, name, args, options).map(|(scope, queue, task)| self.push(scope, queue, task))
    }

    fn push(&self, scope: &Scope, mut queue: MutexGuard<'_, Queue>, task: Task) -> TaskId {
        let named = Named { id: task.id, name: &task.name, component: &self.layers[task.layer].id };
        scope.note(|timeline| timeline.added(named, clock::added()));
        queue.push(task)
    }

    fn accept(
        &self,
        layer: usize,
        name: String,
        args: Vec<u8>,
        options: TaskOptions,
    ) -> Result<(&Arc<Scope>, MutexGuard<'_, Queue>, Task), EnqueueError> {
        if !self.layers.get(layer).is_some_and(|layer| layer.runs_tasks) {
            return Err(EnqueueError::NoRunner);
        }
        // If a closure task never runs, the teardown drops the values that the closure has captured.
        if options.instance_bound {
            self.needs_teardown.set(true);
        }
        let scope = self.scope.as_ref().ok_or(EnqueueError::Closed)?;
        let mut queue = scope.queue();
        let task = queue.accept(layer, name, args, options)?;
        Ok((scope, queue, task))
    }
}

impl context::Host for &mut Background {
    fn request(&mut self) -> wasmtime::Result<Option<RequestContext>> {
        Ok(self
            .scope
            .as_ref()
            .map(|scope| RequestContext { request_id: scope.id.clone(), trace_context: scope.trace_context.clone() }))
    }

    fn idempotency_key(&mut self, task: TaskId) -> wasmtime::Result<Option<String>> {
        Ok(self.scope.as_ref().map(|scope| scope.idempotency_key(task)))
    }
}

impl stop_signal::Host for &mut Background {}

impl<T: 'static> stop_signal::HostWithStore<T> for HasBackground {
    async fn wait(accessor: &Accessor<T, Self>) -> wasmtime::Result<Stop> {
        let (mut phases, mut shutdown) = accessor.with(|mut access| {
            let background = access.get();
            (background.phase.subscribe(), background.shutdown.clone())
        });
        let (reason, end) = loop {
            let phase = *phases.borrow_and_update();
            let near = async {
                match phase.deadline {
                    Some(deadline) => {
                        tokio::time::sleep_until(deadline - notice(deadline - phase.start)).await;
                        deadline
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                end = near => break (StopReason::Deadline, end),
                end = shutdown.begun() => {
                    break (StopReason::Shutdown, phase.deadline.map_or(end, |own| own.min(end)));
                }
                // A new call has begun. Spawned work that waits here can run longer than the call that spawned the
                // work, so the deadline of the new call applies.
                Ok(()) = phases.changed() => {}
            }
        };
        let grace = end.saturating_duration_since(Instant::now());
        Ok(Stop { reason, grace: u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX) })
    }
}
