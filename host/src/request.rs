//! The life of one request: handle, store, send, drain, tear down.

pub(crate) mod admission;
pub(crate) mod drain;
pub(crate) mod response;
mod store;

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use epilogue_engines::Error;
use http::{Response, StatusCode};
use tokio::time::Instant;
use tracing::Span;
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::Request;

use crate::component::instance::{HandlerError, Instance, Interrupted, NoInstance};
use crate::component::pool::Pool;
use crate::contract::bindings::ResponseOutcome;
use crate::interfaces::status;
use crate::request::admission::Slot;
use crate::tasks::observer::Observer;
use crate::tasks::queue::Queue;
use crate::tasks::record::{RequestRecord, TaskRecord, TaskState, cut};
use crate::tasks::scope::Scope;
use crate::tasks::store::NotStored;
use crate::tasks::trace;
use crate::wire::answer::{plain, unavailable};
use crate::wire::reply::Reply;

/// How long the next task waits for work that an earlier call spawned, so that a trap in it is not taken for the
/// task's.
pub(crate) const SETTLE: Duration = Duration::from_secs(1);

/// What is said of work that did not outlive its instance.
const SPAWNED_CUT_SHORT: &str = "work that the guest had spawned was cut short";

/// Why a request ended that came to no end of its own.
const GAVE_UP: &str = "the host gave up the request";

/// Serves `request` from its arrival until nothing of it is left, and tells `observer` how it went.
pub(crate) async fn serve(pool: Rc<Pool>, slot: Slot, observer: Observer, request: Request, reply: Reply) {
    let mut life = match Life::begin(pool, slot, observer, &request).await {
        Ok(life) => life,
        Err(error) => {
            reply.send(match error {
                NoInstance::Full | NoInstance::Stopped => unavailable(),
                NoInstance::TimedOut(_) => plain(StatusCode::GATEWAY_TIMEOUT),
                NoInstance::Failed(_) => plain(StatusCode::INTERNAL_SERVER_ERROR),
            });
            return;
        }
    };
    let handled = life.handle(request).await.map_err(|error| error.after(reply.bad_upload()));
    let handled = life.store(handled).await;
    life.send(handled, reply).await;
    life.conclude().await;
}

/// A request on its way, with the instance that serves it.
pub(crate) struct Life {
    pub(crate) pool: Rc<Pool>,
    pub(crate) scope: Arc<Scope>,
    /// None once it has died, until a task needs another.
    instance: Option<Instance>,
    /// When the drain began.
    drain_start: Option<Instant>,
    /// What the instance held before the request.
    resources: usize,
    pub(crate) record: RequestRecord,
    /// What becomes of the running task if the request ends before it does.
    pub(crate) running: Option<TaskRecord>,
    /// Why the durable tasks that the handler added were not stored, if so.
    pub(crate) not_stored: Option<String>,
    /// Its place among the host's requests, until it has ended.
    slot: Option<Slot>,
    pub(crate) observer: Observer,
    /// Lasts as long as the request, so that its tasks' spans can be linked to it.
    pub(crate) span: Span,
    /// Within it, the time until the response is out: a request's latency does not include its tasks.
    respond: Option<Span>,
}

impl Life {
    pub(crate) async fn begin(
        pool: Rc<Pool>,
        slot: Slot,
        observer: Observer,
        request: &Request,
    ) -> Result<Self, NoInstance> {
        let component = &pool.component;
        let queue = Queue::new(&component.settings, component.store.is_some(), observer.backlog().clone());
        let scope = Arc::new(Scope::new(request.headers(), queue));
        let instance = pool.take().await.inspect_err(|error| {
            let (request, component, error) = (&scope.id, &component.id, error.to_string());
            tracing::error!(target: "epilogue::request", request, component, error, "a request has no instance");
        })?;
        let mut life = Self::with(pool, scope, observer, instance);
        life.slot = Some(slot);
        life.respond = Some(tracing::info_span!(target: "epilogue::request", parent: &life.span, "respond"));
        Ok(life)
    }

    /// A life of what is in `scope`, with an instance for it.
    pub(crate) async fn of(pool: Rc<Pool>, scope: Arc<Scope>, observer: Observer) -> Result<Self, NoInstance> {
        let instance = pool.take().await?;
        Ok(Self::with(pool, scope, observer, instance))
    }

    fn with(pool: Rc<Pool>, scope: Arc<Scope>, observer: Observer, mut instance: Instance) -> Self {
        let component = &pool.component;
        instance.enter(&scope);
        let span = tracing::info_span!(
            target: "epilogue::request", "request", request = scope.id, trace = trace::id(&scope.trace_context)
        );
        Self {
            respond: None,
            span,
            record: RequestRecord::new(&scope, component.id.clone()),
            running: None,
            not_stored: None,
            slot: None,
            observer,
            resources: instance.resources(),
            instance: Some(instance),
            drain_start: None,
            scope,
            pool,
        }
    }

    /// Runs the guest's handler until it returns its response.
    async fn handle(&mut self, request: Request) -> Result<Response<WasiBody>, HandlerError> {
        let limit = self.pool.component.settings.request_timeout;
        let Some(instance) = &mut self.instance else {
            return Err(HandlerError::Interrupted(Interrupted::Stopped));
        };
        let handled = instance.handle(request, limit).await;
        let refused_status = instance.take_refused_status();
        match &handled {
            Ok(response) if response.status() == StatusCode::INTERNAL_SERVER_ERROR => {
                if let Some(status) = refused_status {
                    self.report("the response was sent with 500", Some(&status::refusal(status)));
                }
            }
            Err(HandlerError::Interrupted(interrupted)) => self.lose_instance(interrupted),
            _ => {}
        }
        handled.and_then(|response| response::checked(response, &self.scope.id, &self.record.component))
    }

    /// Sends the response, or the host's own if there is none, and waits until its last byte is out (S2).
    async fn send(&mut self, handled: Result<Response<WasiBody>, HandlerError>, reply: Reply) {
        let (response, failure) = match handled {
            Ok(response) => (response, None),
            Err(error) => {
                let reason = cut(error.to_string());
                self.record.tell_failure(&error, &reason);
                (failed(&error), Some(reason))
            }
        };
        self.record.status = response.status();
        let mut sent = reply.send(response);
        let limit = self.pool.component.settings.response_timeout;
        let mut outcome = match &mut self.instance {
            Some(instance) => match instance.stream(&mut sent, limit).await {
                Ok(outcome) => outcome,
                Err(interrupted) => {
                    let reason = match interrupted {
                        Interrupted::TimedOut(_) => {
                            format!(
                                "the guest wrote nothing more of the body for {}",
                                humantime::format_duration(limit)
                            )
                        }
                        _ => cut(format!("the guest died while it wrote the body: {interrupted}")),
                    };
                    self.lose_instance(&interrupted);
                    match sent.break_off(&reason).await {
                        // The connection was the first to hear of the host's end.
                        Some(ended @ ResponseOutcome::ResponseFailed(_))
                            if matches!(interrupted, Interrupted::Stopped) =>
                        {
                            ended
                        }
                        Some(ended) => {
                            let what = match ended {
                                ResponseOutcome::Delivered => SPAWNED_CUT_SHORT,
                                _ => "what the guest did after its response had ended was cut short",
                            };
                            self.report(what, Some(&interrupted));
                            ended
                        }
                        None => ResponseOutcome::ResponseFailed(reason),
                    }
                }
            },
            None => sent.outcome().await,
        };
        match failure {
            // It did return a response.
            Some(reason) if self.not_stored.is_some() => outcome = ResponseOutcome::ResponseFailed(reason),
            Some(reason) => outcome = ResponseOutcome::HandlerFailed(reason),
            None => self.record.tell_end(&outcome),
        }
        self.record.outcome = outcome;
        _ = self.scope.outcome.set(self.record.outcome.clone());
        self.respond = None;
        if let Some(slot) = &mut self.slot {
            slot.drain();
        }
    }

    /// Runs what is in the queue, and closes the scope behind it.
    pub(crate) async fn conclude(&mut self) {
        loop {
            self.drain().await;
            self.tear_down().await;
            if self.scope.queue().close_if_empty() {
                break;
            }
        }
        self.end().await;
    }

    /// Closes the guest's request scope, if there is anything in it (S9). Without an instance there is none.
    pub(crate) async fn tear_down(&mut self) {
        let limit = self.pool.component.settings.teardown_timeout;
        let Some(instance) = &mut self.instance else { return };
        if !instance.take_needs_teardown() {
            return;
        }
        let torn_down = instance.teardown(&self.record.outcome, limit).await;
        self.record.teardowns += 1;
        match torn_down {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.report("the teardown failed", Some(&error)),
            Err(interrupted) => {
                self.report("the teardown was cut short", Some(&interrupted));
                self.lose_instance(&interrupted);
            }
        }
    }

    /// Gives the instance back, unless something of the request is still alive in it.
    pub(crate) async fn end(&mut self) {
        let settled = self.settle(SETTLE, SETTLE).await;
        let Some(mut instance) = self.instance.take() else { return };
        let closed = !instance.take_needs_teardown();
        if !closed {
            self.report("what the guest registered behind the teardown was not run", None);
        }
        if settled && closed {
            instance.leave();
            let leaked = instance.resources() as isize - self.resources as isize;
            self.record.leaked = leaked;
            // What a guest opens once and keeps, such as its stdout, is mostly opened by an instance's first request. One that
            // goes on to leave something behind would do so without end.
            if leaked <= 0 || instance.served == 1 {
                self.pool.give_back(instance);
            } else {
                tracing::debug!(target: "epilogue::request", request = self.scope.id, leaked, "the instance is dropped");
            }
        }
    }

    /// Lets work that the guest spawned end, for so long. False if it goes on. What is `left` is the time until it is
    /// stopped.
    pub(crate) async fn settle(&mut self, limit: Duration, left: Duration) -> bool {
        let Some(instance) = &mut self.instance else { return true };
        match instance.settle(limit, left).await {
            Ok(settled) => settled,
            Err(interrupted) => {
                self.report(SPAWNED_CUT_SHORT, Some(&interrupted));
                self.lose_instance(&interrupted);
                true
            }
        }
    }

    /// Whether nothing is left of what the guest spawned.
    pub(crate) fn is_settled(&self) -> bool {
        self.instance.as_ref().is_none_or(Instance::is_idle)
    }

    /// What is left of the drain's budget. Its time starts to run when it is first asked for.
    pub(crate) fn budget(&mut self) -> Duration {
        self.left(Instant::now())
    }

    /// What is left of it at this time.
    pub(crate) fn left(&mut self, now: Instant) -> Duration {
        let start = *self.drain_start.get_or_insert(now);
        self.pool.component.settings.drain_timeout.saturating_sub(now.saturating_duration_since(start))
    }

    /// The instance for a task that is to start `now`, the request's own or, once that has died, a fresh one (S14); when it was
    /// there, and what was then left of the drain's budget.
    pub(crate) async fn instance(
        &mut self,
        mut now: Instant,
    ) -> Result<(&mut Instance, Instant, Duration), NoInstance> {
        let instance = match self.instance.take() {
            Some(instance) => instance,
            None => {
                let mut fresh = self.fresh().await?;
                fresh.enter(&self.scope);
                self.resources = fresh.resources();
                now = Instant::now();
                fresh
            }
        };
        let left = self.left(now);
        Ok((self.instance.insert(instance), now, left))
    }

    /// Whether the instance of the last call is alive.
    pub(crate) fn has_instance(&self) -> bool {
        self.instance.is_some()
    }

    /// Drops an instance whose call was interrupted: it may not be entered again.
    pub(crate) fn lose_instance(&mut self, interrupted: &Interrupted) {
        self.instance = None;
        self.scope.queue().orphan();
        if let Interrupted::Trapped(trap) = interrupted {
            let (request, backtrace) = (&self.scope.id, format!("{:?}", trap.error));
            tracing::debug!(target: "epilogue::request", request, error = backtrace, "the instance is lost");
        }
    }

    /// Records and logs what went wrong outside of any task. The guest may have chosen the text of `error`, and so it is a field
    /// of the event: in the message it could pass for other fields.
    pub(crate) fn report(&mut self, what: &'static str, error: Option<&dyn fmt::Display>) {
        let error = error.map(|error| cut(error.to_string()));
        let (request, component) = (&self.scope.id, &self.record.component);
        tracing::error!(target: "epilogue::request", request, component, error, "{what}");
        self.record.errors.push(error.map_or_else(|| what.to_owned(), |error| format!("{what}: {error}")));
    }
}

impl Drop for Life {
    /// The request has ended. If that was not its own end, as when the host panicked, what it had accepted is told to be
    /// abandoned (S3).
    fn drop(&mut self) {
        if self.respond.is_some() {
            self.record.outcome = ResponseOutcome::ResponseFailed(GAVE_UP.to_owned());
            self.record.tell_end(&self.record.outcome);
        }
        if let Some(running) = self.running.take() {
            self.finish(TaskRecord { error: Some(GAVE_UP.to_owned()), ..running });
        }
        loop {
            let next = self.scope.queue().next();
            let Some(task) = next else { break };
            self.finish(self.ended(&task, TaskState::Abandoned, 0, Some(GAVE_UP.to_owned())));
        }
        self.scope.queue().close_if_empty();
        self.record.stored = self.scope.queue().take_stored();
        self.slot = None;
        self.observer.ended(&self.record);
    }
}

/// The answer to a request whose handler gave none, or one that may not be sent. What went wrong is for the operator, not for
/// the client. Tasks that are too large for the engine are the guest's fault, and no retry helps.
fn failed(error: &HandlerError) -> Response<WasiBody> {
    match error {
        HandlerError::Interrupted(Interrupted::TimedOut(_)) => plain(StatusCode::GATEWAY_TIMEOUT),
        HandlerError::Interrupted(Interrupted::Stopped)
        | HandlerError::NotStored(
            NotStored::Engine(Error::Unavailable(_) | Error::Config(_)) | NotStored::BacklogFull(_),
        ) => unavailable(),
        HandlerError::BadUpload(reason) => plain(reason.status()),
        HandlerError::Interrupted(Interrupted::Trapped(_))
        | HandlerError::Returned(_)
        | HandlerError::NotFinal(_)
        | HandlerError::NotStored(_) => plain(StatusCode::INTERNAL_SERVER_ERROR),
    }
}
