//! What a guest calls: the host's side of `epilogue:background/queue` and `…/context`.

use std::time::Duration;

use tokio::time::Instant;
use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, HasData, Linker};

use crate::bindings::{EnqueueError, FailurePolicy, TaskId, TaskOptions, context, types};
use crate::component::Layer;
use crate::state::State;

/// The queue's name in a component that stands alone.
pub(crate) const QUEUE: &str = "epilogue:background/queue@0.1.0";

/// A stop is announced when this part of the time is left …
const NOTICE_PART: u32 = 10;
/// … and at most this long before it.
const MAX_NOTICE: Duration = Duration::from_secs(5);

struct Background;

impl HasData for Background {
    type Data<'a> = &'a mut State;
}

pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    types::add_to_linker::<State, Background>(linker, |state| state)?;
    context::add_to_linker::<State, Background>(linker, |state| state)?;
    add_queue(linker, QUEUE, 0)
}

/// Defines `queue` under this name. What is added through it belongs to this layer.
pub(crate) fn add_queue(linker: &mut Linker<State>, name: &str, layer: usize) -> wasmtime::Result<()> {
    let mut queue = linker.instance(name)?;
    queue.func_wrap("add-task", move |mut store: StoreContextMut<'_, State>, (name, args, options)| {
        Ok((store.data_mut().add_task(layer, name, args, options),))
    })?;
    queue.func_wrap("cancel", |store: StoreContextMut<'_, State>, (id,): (TaskId,)| {
        Ok((store.data().scope.as_ref().is_some_and(|scope| scope.queue().cancel(id)),))
    })?;
    queue.func_wrap("on-failure", |store: StoreContextMut<'_, State>, (policy,): (FailurePolicy,)| {
        if let Some(scope) = &store.data().scope {
            scope.queue().set_policy(policy);
        }
        Ok(())
    })
}

impl types::Host for &mut State {}

impl State {
    fn add_task(
        &self,
        layer: usize,
        name: String,
        args: Vec<u8>,
        options: TaskOptions,
    ) -> Result<TaskId, EnqueueError> {
        if !self.layers.get(layer).is_some_and(Layer::is_runnable) {
            return Err(EnqueueError::NoRunner);
        }
        match &self.scope {
            Some(scope) => scope.queue().add(layer, name, args, options),
            None => Err(EnqueueError::Closed),
        }
    }
}

impl context::Host for &mut State {}

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
                        let notice = ((deadline - phase.start) / NOTICE_PART).min(MAX_NOTICE);
                        tokio::time::sleep_until(deadline - notice).await;
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
