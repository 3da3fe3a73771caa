//! Prepares a request that has arrived on a connection, before the host gives the request to a component.

use std::net::SocketAddr;

use epilogue_manifest::routes::RouteMatch;
use futures::future::AbortHandle;
use http::header::HOST;
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::time::Instant;
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::Request as GuestRequest;

use crate::component::pool::Pool;
use crate::server::request_headers::{Peer, set_right};
use crate::server::spin_headers::{Origin, set_spin_headers};
use crate::tasks::timeline::{Asked, Text, Timeline};
use crate::wire::answer::plain;
use crate::wire::incoming::{IncomingBody, Upload};
use crate::wire::reply::{Awaited, ConnectionShared, Reply};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A request with normalized headers, and the [`Reply`] that sends the response.
pub(super) struct Arrival {
    parts: Parts,
    body: Incoming,
    upload: Upload,
    reply: Reply,
    client: SocketAddr,
}

impl Arrival {
    /// Receives a request from hyper. Returns the [`Arrival`], and a future that gives the response to hyper. If the
    /// request is invalid, returns no [`Arrival`], and the future gives an error response of the host to hyper.
    /// `sender` aborts the tokio task that sends the response.
    pub(super) fn new(
        request: Request<Incoming>,
        shared: ConnectionShared,
        sender: AbortHandle,
        peer: &Peer,
    ) -> (Option<Self>, Awaited) {
        let (mut parts, body) = request.into_parts();
        let upload = Upload::of(&body, &shared.unflushed, &shared.activity.address);
        let now = Instant::now();
        let readers = &shared.observer.readers;
        let timeline = readers.begin(now.into_std(), |timeline| fill(timeline, &parts, peer, readers.spans.is_some()));
        let (reply, response) = Reply::new(shared, sender, now, &parts, upload.clone(), timeline);
        let client = peer.client;
        match set_right(&mut parts, !body.is_end_stream(), peer) {
            Ok(()) => (Some(Self { parts, body, upload, reply, client }), response),
            Err((status, reason)) => {
                tracing::debug!(target: "epilogue::connection", %client, status = status.as_u16(), error = reason, "a request was refused");
                reply.send(plain(status));
                (None, response)
            }
        }
    }

    /// Returns the path of the request's URI.
    pub(super) fn path(&self) -> &str {
        self.parts.uri.path()
    }

    /// Sends `response` as the answer to the request, without calling a component.
    pub(super) fn answer(self, response: Response<WasiBody>) {
        self.reply.send(response);
    }

    /// Converts the request to the form that the component of `pool` gets. If the request's body is too large, answers
    /// the request with status 413 and returns `None`.
    pub(super) fn for_component<T>(
        mut self,
        pool: &Pool,
        matched: &RouteMatch<'_, T>,
    ) -> Option<(GuestRequest, Reply)> {
        if let Some(shared) = &self.reply.timeline {
            let mut timeline = shared.lock();
            let route = timeline.keep(matched.pattern);
            timeline.facts.asked.iter_mut().for_each(|asked| asked.route = route);
        }
        let settings = &pool.component.settings;
        let body = IncomingBody::new(self.body, settings, &self.upload);
        if body.is_too_large() {
            self.reply.send(plain(StatusCode::PAYLOAD_TOO_LARGE));
            return None;
        }
        let origin = Origin { uri: &self.parts.uri, client: self.client };
        let origin = settings.spin_headers.then_some(origin);
        set_spin_headers(&mut self.parts.headers, origin, matched);
        Some((Request::from_parts(self.parts, body.boxed_unsync()), self.reply))
    }
}

/// Adds the properties of a request to its timeline. The host calls this function before it normalizes the request, so
/// the reports show what the client sent. If the host exports no traces, leaves out what only traces show.
fn fill(timeline: &mut Timeline, request: &Parts, peer: &Peer, exports_traces: bool) {
    let header = |name| request.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let authority = || request.uri.authority().map(Authority::as_str).or_else(|| header(HOST));
    let authority = exports_traces.then(authority).flatten();
    let traceparent = exports_traces.then(|| header(TRACEPARENT)).flatten();
    timeline.facts.asked = Some(Asked {
        method: timeline.keep(request.method.as_str()),
        path: timeline.keep(request.uri.path()),
        is_https: peer.scheme == Scheme::HTTPS,
        version: request.version,
        authority: authority.map(|authority| timeline.keep(authority)),
        client: peer.client,
        route: Text::default(),
        traceparent: traceparent.map(|traceparent| timeline.keep(traceparent)),
        request_id: None,
    });
}
