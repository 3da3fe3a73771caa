//! Calls the exported functions of one instance of a component, with time limits.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use epilogue_rules::words;
use futures::channel::oneshot;
use http::{Response, StatusCode};
use tokio::time::Instant;
use wasmtime::component::Accessor;
use wasmtime::{AsContextMut as _, Store};
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::{Prepared, Proxy, Request};
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;

use crate::component::fair::{Purpose, fair};
use crate::component::state::State;
use crate::contract::bindings::{ResponseOutcome, TaskError, types};
use crate::interfaces::background::Phase;
use crate::interfaces::last_words::PANICKED;
use crate::interfaces::runner::Runner;
use crate::process::shutdown::Shutdown;
use crate::tasks::scope::Scope;
use crate::tasks::store::NotStored;
use crate::wire::incoming::BadUpload;
use crate::wire::sent::Sent;

/// The reason why a call into the guest did not return. The host cannot use the instance again, because wasmtime can
/// cancel a call only by dropping the instance's store (wasmtime#11833).
#[derive(Debug)]
pub(crate) enum Interrupted {
    /// The guest trapped, for example because of a panic.
    Trapped(Trap),
    /// The call ran for longer than this time limit, so the host interrupted the call.
    TimedOut(Duration),
    /// The host interrupted the call, because the grace period of the host's shutdown was over.
    Stopped,
}

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Trapped(trap) => write!(f, "{trap}"),
            Self::TimedOut(limit) => f.write_str(&words::still_running(*limit)),
            Self::Stopped => f.write_str("the host stopped"),
        }
    }
}

/// A guest's trap, with the text that explains it.
#[derive(Debug)]
pub(crate) struct Trap {
    /// wasmtime's error, with the guest's backtrace.
    pub(crate) error: wasmtime::Error,
    /// The last text that the guest wrote to stderr during the call.
    said: Option<String>,
}

impl Trap {
    pub(crate) fn new(error: wasmtime::Error, state: &State) -> Self {
        Self { error, said: state.wasi.last_words.said() }
    }
}

impl std::fmt::Display for Trap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.said {
            // If a guest panics, wasmtime's own error says only `unreachable`.
            Some(panic) if panic.starts_with(PANICKED) => f.write_str(panic),
            Some(said) => write!(f, "{}; {said}", self.error.root_cause()),
            None => write!(f, "{}", self.error.root_cause()),
        }
    }
}

/// The reason why the guest's handler gave no response that the host can send.
#[derive(Debug)]
pub(crate) enum HandlerError {
    /// The handler returned an error.
    Returned(ErrorCode),
    /// The host interrupted the handler, or the handler trapped.
    Interrupted(Interrupted),
    /// The handler returned a response with a 1xx status.
    NotFinal(StatusCode),
    /// The handler returned an error because the client did not send the whole request body.
    BadUpload(BadUpload),
    /// The handler returned a response, but its durable tasks could not be stored. The host does not send this
    /// response, because a client that gets the response relies on the tasks.
    NotStored(NotStored),
}

impl std::fmt::Display for HandlerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Returned(code) => write!(f, "{} {code:?}", words::HANDLER_RETURNED),
            Self::Interrupted(interrupted) => write!(f, "{}: {interrupted}", words::HANDLER_CUT_SHORT),
            Self::NotFinal(status) => f.write_str(&words::not_final(status.as_u16())),
            Self::BadUpload(reason) => write!(f, "{reason}"),
            Self::NotStored(error) => write!(f, "not stored: {error}"),
        }
    }
}

impl HandlerError {
    /// Returns the error that explains best why the request failed. `upload` is the reason why the host did not get the
    /// whole request body, or `None` if the host got the whole body. If `upload` is set and the handler returned an
    /// error, the result is [`Self::BadUpload`], because the incomplete body has probably caused the handler's error.
    /// In all other cases, the result is `self`.
    pub(crate) fn after(self, upload: Option<BadUpload>) -> Self {
        match (self, upload) {
            (Self::Returned(_), Some(reason)) => Self::BadUpload(reason),
            (error, _) => error,
        }
    }
}

/// An instance of a component, with its wasmtime store. An instance serves one request at a time.
pub(crate) struct Instance {
    store: Store<State>,
    proxy: Proxy,
    /// The `runner` interface of each layer, from the outside in.
    runners: Vec<Option<Runner>>,
    calls: Calls,
    /// The number of requests that the instance has served, including the current request.
    pub(crate) served: u32,
}

/// The data that each call into an instance's guest uses, apart from the instance's store.
struct Calls {
    shutdown: Shutdown,
    /// True if all work that the guest had spawned was finished when the last call into the guest returned.
    idle: bool,
}

impl Instance {
    pub(crate) fn new(store: Store<State>, proxy: Proxy, runners: Vec<Option<Runner>>) -> Self {
        let shutdown = store.data().background.shutdown.clone();
        Self { store, proxy, runners, calls: Calls { shutdown, idle: true }, served: 0 }
    }

    /// Sets the instance's current request to `scope`. When the guest adds tasks, the tasks go to the queue of this
    /// request.
    pub(crate) fn enter(&mut self, scope: &Arc<Scope>) {
        self.served += 1;
        self.store.data_mut().serve(Some(scope.clone()));
    }

    /// Ends the instance's current request. After this call, the guest cannot add tasks, and the guest's log lines get
    /// no request id.
    pub(crate) fn leave(&mut self) {
        self.store.data_mut().serve(None);
    }

    /// Returns the number of handles, calls and streams that the host keeps for the guest. The host compares this
    /// number before and after a request (promise S9).
    pub(crate) fn resources(&mut self) -> usize {
        self.store.concurrent_state_table_size() + self.store.data_mut().handles()
    }

    /// Calls the guest's handler and returns the handler's response. The guest may still write the response's body
    /// after this function has returned.
    pub(crate) async fn handle(
        &mut self,
        request: Request,
        limit: Duration,
    ) -> Result<Response<WasiBody>, HandlerError> {
        let (sender, receiver) = oneshot::channel();
        let proxy = &self.proxy;
        let call = async |accessor: &Accessor<State>| {
            let prepared = accessor
                .with(|mut access| Prepared::new(access.as_context_mut(), proxy, request, State::arriving, sender))?;
            prepared.run(accessor, std::future::pending()).await?;
            Ok(receiver.await)
        };
        let handled = run(&mut self.store, &mut self.calls, Purpose::Response, Some(limit), call)
            .await
            .map_err(HandlerError::Interrupted)?;
        let error = match handled {
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(error)) => match error.downcast::<ErrorCode>() {
                Ok(code) => return Err(HandlerError::Returned(code)),
                Err(error) => error,
            },
            Err(oneshot::Canceled) => wasmtime::format_err!("the handler ended without a response"),
        };
        Err(HandlerError::Interrupted(Interrupted::Trapped(Trap::new(error, self.store.data()))))
    }

    /// Takes the status that the handler set last, if HTTP does not allow this status. The instance then forgets the
    /// status, so the next call of this function returns `None`.
    pub(crate) fn take_refused_status(&mut self) -> Option<u16> {
        self.store.data_mut().refused_status.take()
    }

    /// Runs the guest, which writes its response's body, until the response is sent. If the client has received
    /// everything and the guest writes nothing for the time `limit`, the host interrupts the guest. `now` is the
    /// current time.
    pub(crate) async fn stream(
        &mut self,
        sent: &mut Sent,
        limit: Duration,
        now: Instant,
    ) -> Result<ResponseOutcome, Interrupted> {
        let phase = self.store.data().background.phase.clone();
        let stalled = sent.stalled(limit, |deadline| _ = phase.send_replace(Phase { start: Instant::now(), deadline }));
        let whole = Phase::lasting(now, None);
        let outcome = async |_: &Accessor<State>| Ok(sent.outcome().await);
        let sent = tokio::select! {
            biased;
            sent = run_within(&mut self.store, &mut self.calls, Purpose::Response, whole, None, outcome) => sent,
            () = stalled => Err(Interrupted::TimedOut(limit)),
        };
        self.store.data_mut().memory.settle();
        sent
    }

    /// Calls `runner.run` of the layer that added the task. The task's time limit begins at `start`.
    pub(crate) async fn run_task(
        &mut self,
        layer: usize,
        task: Box<types::Task>,
        start: Instant,
        limit: Duration,
    ) -> Result<Result<(), TaskError>, Interrupted> {
        match self.runners.get(layer).and_then(Option::as_ref) {
            Some(runner) => {
                let state = self.store.data_mut();
                state.wasi.belong_to_task(state.background.layer_id(layer).map(|id| (task.id, id)));
                let call = async |accessor: &Accessor<State>| runner.run(accessor, task).await;
                let phase = Phase::lasting(start, Some(limit));
                let ended =
                    run_within(&mut self.store, &mut self.calls, Purpose::Tasks, phase, Some(limit), call).await;
                let state = self.store.data_mut();
                state.wasi.belong_to_task(None);
                state.memory.settle();
                ended
            }
            // This case does not happen, because the host accepts no task from a layer without a `runner`.
            None => Ok(Err(TaskError::UnknownTask)),
        }
    }

    /// Calls `runner.run` of the outermost layer `calls` times in a row. Sets no time limit, and does not make the
    /// guest take turns with other guests. Benchmarks use this function to measure the time that wasmtime itself takes.
    pub(crate) async fn run_bare(&mut self, task: &types::Task, calls: u32) -> wasmtime::Result<()> {
        let Some(Some(runner)) = self.runners.first() else { return Ok(()) };
        let calls = async |accessor: &Accessor<State>| {
            for _ in 0..calls {
                runner.run(accessor, Box::new(task.clone())).await??;
            }
            Ok(())
        };
        self.store.run_concurrent(calls).await?
    }

    /// Reports whether the guest has asked for a teardown since the last call of this function.
    pub(crate) fn take_needs_teardown(&self) -> bool {
        self.store.data().background.needs_teardown.take()
    }

    /// Calls `runner.teardown` of each layer that has a `runner`, from the inside out. If several layers return errors,
    /// joins the errors into one text.
    pub(crate) async fn teardown(
        &mut self,
        outcome: &ResponseOutcome,
        limit: Duration,
    ) -> Result<Result<(), String>, Interrupted> {
        if !self.runners.iter().any(Option::is_some) {
            return Ok(Ok(()));
        }
        let call = async |accessor: &Accessor<State>| {
            let mut errors = Vec::new();
            for runner in self.runners.iter().rev().flatten() {
                errors.extend(runner.teardown(accessor, outcome.clone()).await?.err());
            }
            Ok(if errors.is_empty() { Ok(()) } else { Err(errors.join("; ")) })
        };
        run(&mut self.store, &mut self.calls, Purpose::Tasks, Some(limit), call).await
    }

    /// Reports whether all work that the guest had spawned was finished when the last call returned.
    pub(crate) fn is_idle(&self) -> bool {
        self.calls.idle
    }

    /// Waits until all work that the guest has spawned has ended, but no longer than `limit` (promise S18). Such work
    /// can still run after the host's call into the guest has returned. Returns true if all spawned work has ended.
    /// `left` is the time after which the host stops the work. Shortly before the end of `left`, the host warns the
    /// guest through `stop-signal`.
    pub(crate) async fn settle(&mut self, limit: Duration, left: Duration) -> Result<bool, Interrupted> {
        if self.is_idle() {
            return Ok(true);
        }
        // This timeout is inside the store's event loop. If the host instead dropped the event loop at the timeout, the
        // loop's pending work would be lost, and the guest would wait forever. While spawned work computes, the event
        // loop cannot end, so the host then interrupts the instance.
        let idle = async |accessor: &Accessor<State>| {
            let idle = poll_fn(|cx| accessor.poll_no_interesting_tasks(cx));
            Ok(tokio::time::timeout(limit, idle).await.is_ok())
        };
        let phase = Phase::lasting(Instant::now(), Some(left));
        run_within(&mut self.store, &mut self.calls, Purpose::Tasks, phase, Some(limit.saturating_add(BUSY)), idle)
            .await
    }
}

/// If work that the guest has spawned still computes this long after its time limit, the host interrupts the instance.
const BUSY: Duration = Duration::from_millis(250);

/// Runs `call` in the store's event loop, for at most `limit`. Shortly before the end of `limit`, the host warns the
/// guest through `stop-signal`.
async fn run<R>(
    store: &mut Store<State>,
    calls: &mut Calls,
    purpose: Purpose,
    limit: Option<Duration>,
    call: impl AsyncFnOnce(&Accessor<State>) -> wasmtime::Result<R>,
) -> Result<R, Interrupted> {
    run_within(store, calls, purpose, Phase::lasting(Instant::now(), limit), limit, call).await
}

/// Runs `call` in the store's event loop. The host checks `limit` outside of the event loop, because a check inside the
/// event loop is not reliable (wasmtime#11869, #11870). Shortly before the deadline of `phase`, the host warns the
/// guest through `stop-signal`.
async fn run_within<R>(
    store: &mut Store<State>,
    calls: &mut Calls,
    purpose: Purpose,
    phase: Phase,
    limit: Option<Duration>,
    call: impl AsyncFnOnce(&Accessor<State>) -> wasmtime::Result<R>,
) -> Result<R, Interrupted> {
    let start = phase.start.into_std();
    let deadline = limit.and_then(|limit| phase.start.checked_add(limit));
    store.data().begin(phase);
    let Calls { shutdown, idle } = calls;
    let call = async |accessor: &Accessor<State>| {
        let result = call(accessor).await;
        // After most calls, no spawned work runs, so the host need not wait.
        *idle = accessor.poll_no_interesting_tasks(&mut Context::from_waker(Waker::noop())).is_ready();
        result
    };
    let expired = async {
        match deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    let result = {
        // The future is pinned here, because otherwise the program would copy the large future into `fair`.
        let call = pin!(store.run_concurrent(call));
        tokio::select! {
            biased;
            result = fair(purpose, start, call) => result.flatten(),
            () = expired => return Err(Interrupted::TimedOut(limit.unwrap_or_default())),
            () = shutdown.stopped() => return Err(Interrupted::Stopped),
        }
    };
    result.map_err(|error| Interrupted::Trapped(Trap::new(error, store.data())))
}
