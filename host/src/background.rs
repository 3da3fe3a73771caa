//! What a guest calls: the host's side of `epilogue:background/queue` and `…/context`.

use std::time::Duration;

use tokio::time::Instant;
use wasmtime::component::{Accessor, HasData, Linker};

use crate::bindings::{EnqueueError, FailurePolicy, TaskId, TaskOptions, context, queue, types};
use crate::state::State;

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
    queue::add_to_linker::<State, Background>(linker, |state| state)?;
    context::add_to_linker::<State, Background>(linker, |state| state)
}

impl types::Host for &mut State {}

impl queue::Host for &mut State {
    fn add_task(
        &mut self,
        name: String,
        args: Vec<u8>,
        options: TaskOptions,
    ) -> wasmtime::Result<Result<TaskId, EnqueueError>> {
        Ok(match &self.scope {
            Some(scope) => scope.queue().add(name, args, options),
            None => Err(EnqueueError::Closed),
        })
    }

    fn cancel(&mut self, id: TaskId) -> wasmtime::Result<bool> {
        Ok(self.scope.as_ref().is_some_and(|scope| scope.queue().cancel(id)))
    }

    fn on_failure(&mut self, policy: FailurePolicy) -> wasmtime::Result<()> {
        if let Some(scope) = &self.scope {
            scope.queue().set_policy(policy);
        }
        Ok(())
    }
}

impl context::Host for &mut State {}

impl context::HostWithStore<State> for Background {
    async fn stopping(accessor: &Accessor<State, Self>) -> wasmtime::Result<context::Stop> {
        let (phase, mut shutdown) = accessor.with(|mut access| {
            let state = access.get();
            (state.phase, state.shutdown.clone())
        });
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
        let (reason, end) = tokio::select! {
            end = near => (context::StopReason::Deadline, end),
            end = shutdown.begun() => (context::StopReason::Shutdown, phase.deadline.map_or(end, |own| own.min(end))),
        };
        let grace = end.saturating_duration_since(Instant::now());
        Ok(context::Stop { reason, grace: u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX) })
    }
}
