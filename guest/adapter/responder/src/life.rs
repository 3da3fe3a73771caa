//! Takes one request through its steps: the handler, the response, the tasks and the teardown.

use alloc::format;
use alloc::string::{String, ToString as _};
use core::time::Duration;

use epilogue_rules::limits::cut;
use epilogue_rules::words;

use crate::bindings::epilogue::adapter::drain::{self, Limits};
use crate::bindings::epilogue::background::runner;
use crate::bindings::epilogue::background::types::{RequestContext, ResponseOutcome};
use crate::bindings::wasi::http::handler;
use crate::bindings::wasi::http::types::{ErrorCode, Method, Request, Response};
use crate::clock::{Deadline, Nanoseconds, within};
use crate::identity::Identity;
use crate::record::{self, Level, quoted};
use crate::sending::Sending;
use crate::settings::settings;

/// The state of a request, from its arrival to the end of its teardown.
pub(crate) struct Life {
    pub(crate) identity: Identity,
    pub(crate) outcome: ResponseOutcome,
    /// The deadline for all tasks of the request together. Before the drain begins, the value is `None`.
    deadline: Option<Deadline>,
    /// True if the request's method is HEAD, so that the response has no body.
    head: bool,
    status: u16,
    pub(crate) tasks: u32,
    teardowns: u32,
    /// Marks the request as running. At the end of the request, or if the host cancels the request, the responder drops
    /// this value. The drop closes the request's queue, and then the next request can begin.
    _door: Door,
}

/// The reason why the guest has returned no response that the responder can send.
pub(crate) enum HandlerError {
    Returned(ErrorCode),
    /// The guest returned a response with this status, which is from 100 to 199.
    NotFinal(u16),
    TimedOut(Nanoseconds),
}

impl Life {
    pub(crate) fn begin(request: &Request) -> Self {
        let identity = Identity::of(&request.get_headers());
        Self {
            _door: Door::shut(&identity.0),
            identity,
            outcome: ResponseOutcome::Delivered,
            deadline: None,
            head: matches!(request.get_method(), Method::Head),
            status: 0,
            tasks: 0,
            teardowns: 0,
        }
    }

    /// Runs the guest's handler. If the handler takes longer than the setting `request-timeout`, cancels the handler
    /// and returns an error.
    pub(crate) async fn handle(&self, request: Request) -> Result<Response, HandlerError> {
        let limit = settings().request_timeout;
        drain::allow(Some(limit));
        match within(limit, handler::handle(request)).await {
            Some(handled) => handled.map_err(HandlerError::Returned),
            None => Err(HandlerError::TimedOut(limit)),
        }
    }

    /// Returns the response for the host, and a [`Sending`], which later sends the response's body. If the guest has
    /// returned no valid response, this function creates a response with the status 500 or 504.
    pub(crate) async fn reply(&mut self, handled: Result<Response, HandlerError>) -> (Response, Sending) {
        // The guest may take any time to write the response's body.
        drain::allow(None);
        let error = match handled {
            Ok(response) if matches!(response.get_status_code(), 100..=199) => {
                HandlerError::NotFinal(response.get_status_code())
            }
            Ok(response) => {
                self.status = response.get_status_code();
                return Sending::copy(response, self.head);
            }
            Err(error) => error,
        };
        let (status, text) = match error {
            HandlerError::Returned(_) | HandlerError::NotFinal(_) => (500, "Internal Server Error"),
            HandlerError::TimedOut(_) => (504, "Gateway Timeout"),
        };
        let reason = cut(match error {
            HandlerError::Returned(code) => format!("{} {code:?}", words::HANDLER_RETURNED),
            HandlerError::NotFinal(status) => words::not_final(status),
            HandlerError::TimedOut(limit) => format!("{}: {}", words::HANDLER_CUT_SHORT, still_running(limit)),
        });
        self.report(words::REQUEST_FAILED, &reason).await;
        self.outcome = ResponseOutcome::HandlerFailed(reason);
        self.status = status;
        Sending::text(status, text, self.head)
    }

    /// Sends the response's body. Returns when the host has taken the last byte of the body, or when the host takes no
    /// more bytes because the client has left (S2).
    pub(crate) async fn send(&mut self, sending: Sending) {
        let outcome = sending.finish().await;
        if matches!(self.outcome, ResponseOutcome::HandlerFailed(_)) {
            return;
        }
        if let ResponseOutcome::ResponseFailed(reason) = &outcome {
            self.report(words::RESPONSE_FAILED, reason).await;
        }
        self.outcome = outcome;
    }

    /// If the guest has asked for a teardown, calls the guest's teardown (S9).
    pub(crate) async fn tear_down(&mut self) {
        if !drain::needs_teardown() {
            return;
        }
        let limit = settings().teardown_timeout;
        drain::allow(Some(limit));
        self.teardowns += 1;
        match within(limit, runner::teardown(self.outcome.clone())).await {
            Some(Ok(())) => {}
            Some(Err(error)) => self.report(words::TEARDOWN_FAILED, &cut(error)).await,
            None => self.report(words::TEARDOWN_CUT_SHORT, &still_running(limit)).await,
        }
    }

    /// If no task is waiting, closes the queue and returns true: the request has ended. If a task is waiting, returns
    /// false.
    pub(crate) fn is_over(&self) -> bool {
        drain::close_if_empty()
    }

    /// Logs the end of the request. Also drops the request's state, so that this instance can serve the next request.
    pub(crate) async fn end(self) {
        let (word, error) = match &self.outcome {
            ResponseOutcome::Delivered => ("delivered", None),
            ResponseOutcome::ClientGone => ("client-gone", None),
            ResponseOutcome::ResponseFailed(error) => ("response-failed", Some(error)),
            ResponseOutcome::HandlerFailed(error) => ("handler-failed", Some(error)),
        };
        let fields = [
            ("request", quoted(self.identity.id())),
            ("trace", quoted(self.identity.trace_id())),
            ("status", self.status.to_string()),
            ("outcome", quoted(word)),
            ("tasks", self.tasks.to_string()),
            ("teardowns", self.teardowns.to_string()),
        ];
        record::log(Level::Debug, "epilogue::request", "the request has ended", &fields, error).await;
    }

    /// Returns the time that is still left for all tasks of the request together, in nanoseconds. The first call of
    /// this function starts the time limit of the setting `drain-timeout`.
    pub(crate) fn budget(&mut self) -> Nanoseconds {
        self.deadline.get_or_insert_with(|| Deadline::after(settings().drain_timeout)).left()
    }

    async fn report(&self, what: &'static str, error: &String) {
        let request = [("request", quoted(self.identity.id()))];
        record::log(Level::Error, "epilogue::request", what, &request, Some(error)).await;
    }
}

fn still_running(limit: Nanoseconds) -> String {
    words::still_running(Duration::from_nanos(limit))
}

/// While this value exists, the instance serves one request, and the host sends no other request into the instance.
/// Because an instance serves only one request at a time, no request can use the queue or the teardown callbacks of
/// another request.
struct Door;

impl Door {
    fn shut(request: &RequestContext) -> Self {
        wit_bindgen::backpressure_inc();
        let limits = Limits {
            tasks: settings().max_tasks,
            task_args: settings().max_task_args,
            request_args: settings().max_request_args,
            policy: settings().on_failure,
        };
        drain::begin(request, limits);
        Self
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        drain::end();
        wit_bindgen::backpressure_dec();
    }
}
