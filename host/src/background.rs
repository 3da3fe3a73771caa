//! What a guest calls: the host's side of `epilogue:background/queue` and `…/context`.

use std::sync::{Arc, MutexGuard};

use epilogue_rules::notice::notice;
use futures::future::BoxFuture;
use tokio::time::Instant;
use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, HasData, Linker};

use crate::bindings::{EnqueueError, FailurePolicy, RequestContext, TaskId, TaskOptions, context, types};
use crate::component::Layer;
use crate::queue::{Queue, Task};
use crate::scope::Scope;
use crate::state::State;

/// The queue's name in a component that stands alone.
pub(crate) const QUEUE: &str = "epilogue:background/queue@0.1.0";

struct Background;

impl HasData for Background {
    type Data<'a> = &'a mut State;
}

pub(crate) fn add_to_linker(linker: &mut Linker<State>, durable: bool) -> wasmtime::Result<()> {
    types::add_to_linker::<State, Background>(linker, |state| state)?;
    context::add_to_linker::<State, Background>(linker, |state| state)?;
    add_queue(linker, QUEUE, 0, durable)
}

/// Defines the interface `queue` under `name`. Tasks that are added through it belong to `layer`. If tasks can be
/// `durable`, adding one may wait until it is stored.
pub(crate) fn add_queue(linker: &mut Linker<State>, name: &str, layer: usize, durable: bool) -> wasmtime::Result<()> {
    let mut queue = linker.instance(name)?;
    if durable {
        queue.func_wrap_async("add-task", move |store: StoreContextMut<'_, State>, (name, args, options)| {
            let added = store.data().add_task(layer, name, args, options);
            Box::new(async move {
                Ok((match added {
                    Ok(Added::Waits(id)) => Ok(id),
                    Ok(Added::ToStore(storing)) => storing.await,
                    Err(error) => Err(error),
                },))
            })
        })?;
    } else {
        queue.func_wrap("add-task", move |store: StoreContextMut<'_, State>, (name, args, options)| {
            let accepted = store.data().accept(layer, name, args, options);
            Ok((accepted.map(|(_, mut queue, task)| queue.push(task)),))
        })?;
    }
    queue.func_wrap("cancel", |store: StoreContextMut<'_, State>, (id,): (TaskId,)| {
        Ok((store.data().scope.as_ref().is_some_and(|scope| scope.queue().cancel(id)),))
    })?;
    queue.func_wrap("on-failure", |store: StoreContextMut<'_, State>, (policy,): (FailurePolicy,)| {
        if let Some(scope) = &store.data().scope {
            scope.queue().set_policy(policy);
        }
        Ok(())
    })?;
    queue.func_wrap("needs-teardown", |store: StoreContextMut<'_, State>, (): ()| {
        store.data().needs_teardown.set(true);
        Ok(())
    })
}

impl types::Host for &mut State {}

/// What happens to a task that was accepted.
enum Added {
    /// The task waits in the queue.
    Waits(TaskId),
    /// The task is to be stored. It is accepted once that is done.
    ToStore(BoxFuture<'static, Result<TaskId, EnqueueError>>),
}

impl State {
    fn add_task(&self, layer: usize, name: String, args: Vec<u8>, options: TaskOptions) -> Result<Added, EnqueueError> {
        let (scope, mut queue, task) = self.accept(layer, name, args, options)?;
        match &self.store {
            Some(store) if queue.stores_now(&task) => {
                drop(queue);
                Ok(Added::ToStore(store.add(scope, &self.layers, task)))
            }
            _ => Ok(Added::Waits(queue.push(task))),
        }
    }

    fn accept(
        &self,
        layer: usize,
        name: String,
        args: Vec<u8>,
        options: TaskOptions,
    ) -> Result<(&Arc<Scope>, MutexGuard<'_, Queue>, Task), EnqueueError> {
        if !self.layers.get(layer).is_some_and(Layer::is_runnable) {
            return Err(EnqueueError::NoRunner);
        }
        // What a closure has captured is let go in the teardown, if it never runs.
        if options.instance_bound {
            self.needs_teardown.set(true);
        }
        let scope = self.scope.as_ref().ok_or(EnqueueError::Closed)?;
        let mut queue = scope.queue();
        let task = queue.accept(layer, name, args, options)?;
        Ok((scope, queue, task))
    }
}

impl context::Host for &mut State {
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

impl context::HostWithStore<State> for Background {
    async fn stopping(accessor: &Accessor<State, Self>) -> wasmtime::Result<context::Stop> {
        let (mut phases, mut shutdown) = accessor.with(|mut access| {
            let state = access.get();
            (state.phase.subscribe(), state.shutdown.clone())
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
                end = near => break (context::StopReason::Deadline, end),
                end = shutdown.begun() => {
                    break (context::StopReason::Shutdown, phase.deadline.map_or(end, |own| own.min(end)));
                }
                // Spawned work that asked outlives the call that it was spawned in, and that call's deadline.
                Ok(()) = phases.changed() => {}
            }
        };
        let grace = end.saturating_duration_since(Instant::now());
        Ok(context::Stop { reason, grace: u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX) })
    }
}
