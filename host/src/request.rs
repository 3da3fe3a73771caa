//! Serves one request: runs the handler, stores durable tasks, sends the response, runs the tasks, and runs the
//! teardown.

pub(crate) mod admission;
mod attend;
pub(crate) mod drain;
mod ready;
pub(crate) mod response;
mod store;
mod timeline;

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use epilogue_rules::duration::Shown;
use epilogue_rules::limits::cut;
use epilogue_rules::{trace, words};
use http::{Response, StatusCode};
use tokio::time::Instant;
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::Request;

use crate::budget::Limit;
use crate::budget::instance::MAX_KEPT;
use crate::component::instance::{HandlerError, Instance, Interrupted};
use crate::component::no_instance::NoInstance;
use crate::component::pool::Pool;
use crate::contract::bindings::ResponseOutcome;
use crate::interfaces::status;
use crate::request::admission::Slot;
use crate::tasks::ids::RequestIds;
use crate::tasks::observer::Observer;
use crate::tasks::queue::Queue;
use crate::tasks::record::{RequestRecord, TaskRecord, TaskState};
use crate::tasks::scope::Scope;
use crate::tasks::timeline::Shared;
use crate::wire::answer::{plain, unavailable};
use crate::wire::reply::Reply;
use crate::wire::sent::Sent;

/// The longest time that the host waits, before it runs a task, for work that the guest spawned in an earlier call. If
/// the host did not wait, a trap in the spawned work would look like a trap of the task.
pub(crate) const SETTLE: Duration = Duration::from_secs(1);

/// The error in a request's record if the instance dies while work that the guest has spawned is still running.
const SPAWNED_CUT_SHORT: &str = "work that the guest had spawned was cut short";

/// The error in a request's record if the host drops the request before its end, for example because the host panics.
const GAVE_UP: &str = "the host dropped the request before its end";

/// Serves `request` from the handler to the end of the teardown, and then passes the request's record to `observer`.
pub(crate) async fn serve(pool: Rc<Pool>, slot: Slot, observer: Rc<Observer>, request: Request, mut reply: Reply) {
    let mut life = match Life::begin(pool, slot, observer, &request, &mut reply.timeline).await {
        Ok(life) => life,
        Err(error) => {
            reply.send(match error {
                NoInstance::Full(_) | NoInstance::Stopped => unavailable(),
                NoInstance::TimedOut(_) => plain(StatusCode::GATEWAY_TIMEOUT),
                NoInstance::Failed(_) => plain(StatusCode::INTERNAL_SERVER_ERROR),
            });
            return;
        }
    };
    reply.identify(&life.scope.id);
    life.follow();
    let handled = life.attend(request, &mut reply).await.map_err(|error| error.after(reply.bad_upload()));
    let handled = life.store(handled).await;
    let sent = life.send(handled, reply).await;
    life.ended = Some(life.conclude(sent).await);
}

/// A running request or batch, with the instance that serves the request or batch.
pub(crate) struct Life {
    pub(crate) pool: Rc<Pool>,
    pub(crate) scope: Arc<Scope>,
    /// The request's instance. If the instance dies, this field is `None` until a task needs a new instance.
    instance: Option<Instance>,
    /// The time when the host began to run the request's tasks, or `None` if the host has not yet begun.
    drain_start: Option<Instant>,
    /// The number of handles and other resources that the instance held before the request.
    resources: usize,
    pub(crate) record: RequestRecord,
    /// The record of the running task. The host uses this record only if the request is dropped before the task has
    /// ended.
    running: Option<TaskRecord>,
    /// The reason why the handler's durable tasks could not be stored. The value is `None` if the tasks were stored, or
    /// if the handler added no durable tasks.
    not_stored: Option<String>,
    /// Counts the request for the host's limits on requests. The value is `None` for a batch on a worker.
    slot: Option<Slot>,
    pub(crate) observer: Rc<Observer>,
    /// True until the response is sent or has failed. For a batch, the value is always false.
    responding: bool,
    /// The time at which the request has ended. The value is `None` before the end, for a request that the host has
    /// dropped, and for a batch.
    ended: Option<Instant>,
}

impl Life {
    /// Takes an instance for a request, and makes the [`Life`] of the request. Takes `timeline` only if there is an
    /// instance.
    pub(crate) async fn begin(
        pool: Rc<Pool>,
        slot: Slot,
        observer: Rc<Observer>,
        request: &Request,
        timeline: &mut Option<Arc<Shared>>,
    ) -> Result<Self, NoInstance> {
        let component = &pool.component;
        let queue = Queue::new(&component.settings, component.task_store.is_some(), observer.backlog().clone());
        let mut scope = Scope::new(request.headers(), queue, observer.readers.spans.as_ref());
        let instance = pool.take().await;
        let instance = instance.inspect_err(|error| component.announce_no_instance(scope.ids(), error))?;
        scope.timeline = timeline.take();
        let mut life = Self::with(pool, Arc::new(scope), observer, instance);
        life.slot = Some(slot);
        life.responding = true;
        Ok(life)
    }

    /// Takes an instance for a batch of stored tasks, and makes the [`Life`] of the batch. A batch has no client, so
    /// the host sends no response.
    pub(crate) async fn of(pool: Rc<Pool>, scope: Arc<Scope>, observer: Rc<Observer>) -> Result<Self, NoInstance> {
        let instance = pool.take().await?;
        Ok(Self::with(pool, scope, observer, instance))
    }

    fn with(pool: Rc<Pool>, scope: Arc<Scope>, observer: Rc<Observer>, mut instance: Instance) -> Self {
        let component = &pool.component;
        instance.enter(&scope);
        Self {
            responding: false,
            ended: None,
            record: RequestRecord::new(
                scope.id.clone(),
                trace::id(&scope.trace_context.traceparent).to_owned(),
                component.id.clone(),
            ),
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

    /// Runs the guest's handler until the handler returns its response.
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
                    self.record_error("the response was sent with 500", Some(&status::refusal(status)));
                }
            }
            Err(HandlerError::Interrupted(interrupted)) => self.lose_instance(interrupted),
            _ => {}
        }
        handled.and_then(|response| response::checked(response, self.scope.ids(), &self.record.component))
    }

    /// Sends the guest's response, or an error response of the host. After that, waits until the response's last byte
    /// is sent (promise S2). Returns the time at which the response was sent or has failed.
    async fn send(&mut self, handled: Result<Response<WasiBody>, HandlerError>, reply: Reply) -> Instant {
        let (response, failure) = match handled {
            Ok(response) => (response, None),
            Err(error) => {
                let reason = cut(error.to_string());
                self.record.announce_failure(&reason, matches!(error, HandlerError::BadUpload(_)));
                (response::failed(&error), Some(reason))
            }
        };
        self.record.status = response.status();
        let now = Instant::now();
        self.scope.note(|timeline| timeline.responds(response.status(), now.into_std()));
        let mut sent = reply.send(response);
        if let Some(slot) = &self.slot {
            sent.free(slot.place());
        }
        let delivery = self.deliver(&mut sent, now).await;
        self.record.outcome = match failure {
            // The handler did return a response, so the outcome is not `HandlerFailed`.
            Some(reason) if self.not_stored.is_some() => ResponseOutcome::ResponseFailed(reason),
            Some(reason) => ResponseOutcome::HandlerFailed(reason),
            None => {
                self.record.announce_outcome(&delivery);
                delivery
            }
        };
        _ = self.scope.outcome.set(self.record.outcome.clone());
        self.responding = false;
        let now = Instant::now();
        self.note_sent(sent.bytes(), now);
        if let Some(slot) = &mut self.slot {
            slot.drain();
        }
        now
    }

    /// Waits until the response is sent or has failed. During this wait, the guest may write more of the body.
    async fn deliver(&mut self, sent: &mut Sent, now: Instant) -> ResponseOutcome {
        let limit = self.pool.component.settings.response_timeout;
        let Some(instance) = &mut self.instance else { return sent.outcome().await };
        match instance.stream(sent, limit, now).await {
            Ok(outcome) => outcome,
            Err(interrupted) => self.break_off(sent, &interrupted).await,
        }
    }

    /// Aborts the response, because the guest was interrupted. Returns the response's outcome. If the response has
    /// already ended, for example because the client has left, only returns the existing outcome.
    async fn break_off(&mut self, sent: &mut Sent, interrupted: &Interrupted) -> ResponseOutcome {
        let reason = match interrupted {
            Interrupted::TimedOut(limit) => {
                format!("the guest wrote nothing more of the body for {}", Shown(*limit))
            }
            _ => cut(format!("the guest died while it wrote the body: {interrupted}")),
        };
        self.lose_instance(interrupted);
        let Some(outcome) = sent.break_off(&reason).await else { return ResponseOutcome::ResponseFailed(reason) };
        match (&outcome, interrupted) {
            // The connection noticed the shutdown before the instance, and has already aborted the response.
            (ResponseOutcome::ResponseFailed(_), Interrupted::Stopped) => {}
            (ResponseOutcome::Delivered, _) => self.record_error(SPAWNED_CUT_SHORT, Some(interrupted)),
            _ => self.record_error("the guest was stopped after its response had ended", Some(interrupted)),
        }
        outcome
    }

    /// Runs all tasks in the queue and then the teardown. If the teardown adds tasks, runs these tasks and the teardown
    /// again, until the queue stays empty. At the end, returns the instance to its pool or drops the instance. `now` is
    /// the current time. Returns the time of the end.
    pub(crate) async fn conclude(&mut self, mut now: Instant) -> Instant {
        loop {
            now = self.drain(now).await;
            now = self.tear_down(now).await;
            if self.scope.queue().close_if_empty() {
                break;
            }
        }
        let waits = !self.is_settled();
        self.release_instance().await;
        if waits { Instant::now() } else { now }
    }

    /// Runs the guest's teardown if the instance is alive and the guest has asked for a teardown (promise S9). `now` is
    /// the current time. Returns the time of the end.
    pub(crate) async fn tear_down(&mut self, now: Instant) -> Instant {
        let limit = self.pool.component.settings.teardown_timeout;
        let Some(instance) = self.instance.as_mut().filter(|instance| instance.take_needs_teardown()) else {
            return now;
        };
        self.scope.note(|timeline| timeline.teardown_begins(now.into_std()));
        let torn_down = instance.teardown(&self.record.outcome, limit).await;
        let now = Instant::now();
        self.scope.note(|timeline| timeline.teardown_ended(now.into_std()));
        self.record.teardowns += 1;
        match torn_down {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.record_error(words::TEARDOWN_FAILED, Some(&error)),
            Err(interrupted) => {
                self.record_error(words::TEARDOWN_CUT_SHORT, Some(&interrupted));
                self.lose_instance(&interrupted);
            }
        }
        now
    }

    /// Returns the instance to its pool. If the guest still does work for the request or still holds the request's
    /// handles, drops the instance instead.
    pub(crate) async fn release_instance(&mut self) {
        let settled = self.settle(SETTLE, SETTLE).await;
        let Some(mut instance) = self.instance.take() else { return };
        let closed = !instance.take_needs_teardown();
        if !closed {
            self.record_error("a teardown callback was registered too late, and was not run", None);
        }
        if settled && closed {
            instance.leave();
            let leaked = instance.resources() as isize - self.resources as isize;
            self.record.leaked = leaked;
            // A guest opens some handles once and keeps these handles, such as stdout. Mostly, the guest opens these
            // handles in the first request of the instance. But if a guest keeps more handles after each request, the
            // number of handles would grow without end.
            let allowed = if instance.served == 1 { MAX_KEPT as isize } else { 0 };
            if leaked <= allowed {
                self.pool.give_back(instance);
            } else {
                Limit::Kept.hit();
                let RequestIds { request, trace_id } = self.scope.ids();
                tracing::debug!(target: "epilogue::request", request, leaked, trace_id, "the instance is dropped");
            }
        }
    }

    /// Waits for the work that the guest has spawned, but no longer than `limit`. Returns false if some of the spawned
    /// work still runs. `left` is the time until the host stops the spawned work. Shortly before that time, the host
    /// warns the guest.
    pub(crate) async fn settle(&mut self, limit: Duration, left: Duration) -> bool {
        let Some(instance) = &mut self.instance else { return true };
        match instance.settle(limit, left).await {
            Ok(settled) => settled,
            Err(interrupted) => {
                self.record_error(SPAWNED_CUT_SHORT, Some(&interrupted));
                self.lose_instance(&interrupted);
                true
            }
        }
    }

    /// Reports whether all work that the guest had spawned had ended when the host's last call into the guest returned.
    fn is_settled(&self) -> bool {
        self.instance.as_ref().is_none_or(Instance::is_idle)
    }

    /// Records that the request's tasks begin at `now`. The limit on the total time of the request's tasks
    /// (`drain-timeout`) begins to count at this time. Only the first call for a request has an effect.
    pub(crate) fn start_drain(&mut self, now: Instant) {
        self.drain_start.get_or_insert(now);
    }

    /// Returns the time that is left at `now` for all remaining tasks of the request. Before the first task, this is
    /// the whole limit on the total time of the request's tasks.
    pub(crate) fn budget_left(&self, now: Instant) -> Duration {
        let spent = self.drain_start.map_or(Duration::ZERO, |start| now.saturating_duration_since(start));
        self.pool.component.settings.drain_timeout.saturating_sub(spent)
    }

    /// Reports whether the request has a live instance.
    fn has_instance(&self) -> bool {
        self.instance.is_some()
    }

    /// Drops the instance after an interrupted call, because the host must never call into such an instance again.
    fn lose_instance(&mut self, interrupted: &Interrupted) {
        self.instance = None;
        self.scope.queue().orphan();
        if let Interrupted::Trapped(trap) = interrupted {
            let (RequestIds { request, trace_id }, backtrace) = (self.scope.ids(), format!("{:?}", trap.error));
            tracing::debug!(target: "epilogue::request", request, error = backtrace, trace_id, "the instance is lost");
        }
    }

    /// Records and logs an error that no task has caused. In the log, `error` is a separate field and not part of the
    /// message. The text of `error` may come from the guest, and in the message, this text could look like other
    /// fields.
    fn record_error(&mut self, what: &'static str, error: Option<&dyn fmt::Display>) {
        let error = error.map(|error| cut(error.to_string()));
        let (RequestIds { request, trace_id }, component) = (self.scope.ids(), &self.record.component);
        tracing::error!(target: "epilogue::request", request, component, error, trace_id, "{what}");
        self.record.errors.push(error.map_or_else(|| what.to_owned(), |error| format!("{what}: {error}")));
    }
}

impl Drop for Life {
    /// Passes the request's record to the observer. If the request is dropped before its end, for example because the
    /// host panics, records the remaining tasks as abandoned (promise S3).
    fn drop(&mut self) {
        if self.responding {
            self.record.outcome = ResponseOutcome::ResponseFailed(GAVE_UP.to_owned());
            self.record.announce_outcome(&self.record.outcome);
            self.note_sent(0, Instant::now());
        }
        if let Some(running) = self.running.take() {
            self.record_queued(TaskRecord { error: Some(GAVE_UP.to_owned()), ..running });
        }
        loop {
            let next = self.scope.queue().next();
            let Some(task) = next else { break };
            self.record_queued(self.record_of(&task, TaskState::Abandoned, 0, Some(GAVE_UP.to_owned())));
        }
        self.scope.queue().close_if_empty();
        self.record.stored = self.scope.queue().take_stored();
        self.slot = None;
        self.note_end(self.ended.unwrap_or_else(Instant::now));
        self.observer.ended(&self.record);
    }
}
