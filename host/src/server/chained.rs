//! Serves calls: a call is a request that one component of the application sends to another component. Each call uses
//! its own connection inside the process.
//!
//! ```text
//! caller ──request──▶ pipe ──▶ hyper ──▶ Arrival ──▶ request::serve ──▶ the component that is called
//! ```
//!
//! Like a request from outside, a call has its own record, limits and deadlines. The connection is a pipe, and the
//! tasks of a call start when the pipe has taken the whole response.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use epilogue_manifest::routes::RouteMatch;
use epilogue_manifest::values::RequestId;
use futures::future::{AbortHandle, Abortable};
use http::Request;
use http::uri::Scheme;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{DuplexStream, duplex};
use tokio::sync::mpsc::UnboundedReceiver;
use wasmtime_wasi_http::Error;

use crate::budget::address::{Address, Addresses};
use crate::component::pool::Pool;
use crate::interfaces::chaining::{Call, ServeCalls, Served};
use crate::request::admission::Slot;
use crate::server::arrival::Arrival;
use crate::server::request_headers::Peer;
use crate::server::thread::{Host, ServerThread};
use crate::wire::activity::Activity;
use crate::wire::reply::ConnectionShared;
use crate::wire::sent::{TrackedIo, Unflushed};

/// The client address that the host gives to each call, because the calling component has no address. Spin uses the
/// same address.
const CALLER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
/// The number of bytes that the pipe between two components holds in each direction.
const PIPE: usize = 64 * 1024;

/// Returns a function that serves the calls between components on a thread that has no listener, such as a worker's
/// thread.
pub(crate) fn serve_calls(host: Arc<Host>) -> ServeCalls {
    Arc::new(move |shutdown| {
        let thread = ServerThread::start(host.clone(), shutdown.clone());
        let chaining = thread.chaining.clone();
        let ended = Box::pin(async move {
            thread.alive.close();
            thread.alive.wait().await;
        });
        Served { chaining, ended }
    })
}

impl ServerThread {
    /// Serves the calls between this thread's components until the thread ends. During the shutdown, the thread still
    /// serves calls, because running requests and tasks may call other components.
    pub(super) async fn serve_calls(self: Rc<Self>, mut calls: UnboundedReceiver<Call>) {
        while let Some(Call { component, connected }) = calls.recv().await {
            _ = connected.send(self.connect(&component));
        }
    }

    /// Makes a connection to the component `id`, and admits the only request of this connection. If a limit on requests
    /// is reached, returns an error without waiting. The request that makes the call counts for the same limit as the
    /// call. So if several such requests waited for room, they could wait for each other forever.
    fn connect(self: &Rc<Self>, id: &str) -> Result<DuplexStream, Error> {
        let serving = self.serving();
        // If a component has different middleware on different routes, the host uses the middleware of the component's
        // first route for calls.
        let pool = serving.pools.iter().find(|pool| pool.component.id.eq_ignore_ascii_case(id));
        let pool = pool.ok_or(Error::DestinationNotFound)?;
        // Each call gets its own entry for its client address, so that the limits on a client address do not apply to
        // calls.
        let address = Addresses::default().of(CALLER.ip());
        let slot = self.admit_call(&address).map_err(|_| Error::ConnectionLimitReached)?;
        let (caller, io) = duplex(PIPE);
        self.alive.spawn_local(serve(self.clone(), io, address, pool.clone(), slot));
        Ok(caller)
    }
}

async fn serve(thread: Rc<ServerThread>, io: DuplexStream, address: Arc<Address>, pool: Rc<Pool>, slot: Slot) {
    let (sender, registration) = AbortHandle::new_pair();
    _ = Abortable::new(converse(thread, io, sender, address, pool, slot), registration).await;
}

async fn converse(
    thread: Rc<ServerThread>,
    io: DuplexStream,
    sender: AbortHandle,
    address: Arc<Address>,
    pool: Rc<Pool>,
    slot: Slot,
) {
    let options = &thread.host.options;
    let shared = ConnectionShared {
        unflushed: Unflushed::default(),
        activity: Activity::new(address),
        send_timeout: options.send_timeout,
        has_left: Rc::new(|| false),
        observer: thread.observer.clone(),
        request_id: RequestId::Off,
    };
    let peer = Peer { scheme: Scheme::HTTP, client: CALLER, local: CALLER };
    let slot = RefCell::new(Some(slot));
    let service = service_fn(|request: Request<Incoming>| {
        let (arrival, response) = Arrival::new(request, shared.clone(), sender.clone(), &peer);
        if let (Some(arrival), Some(slot)) = (arrival, slot.take()) {
            let path_info = arrival.path().to_owned();
            // As in Spin, a call counts as a request to the route `/...`, which matches all paths.
            let matched = RouteMatch { target: &(), pattern: "/...", path_info, parameters: Vec::new() };
            if let Some((request, reply)) = arrival.for_component(&pool, &matched) {
                thread.live(pool.clone(), slot, request, reply);
            }
        }
        response
    });
    let io = TokioIo::new(TrackedIo::new(Rc::new(RefCell::new(io)), shared.unflushed.clone()));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(options.idle_timeout).keep_alive(false);
    builder.max_buf_size(options.max_header_size.bytes());
    let mut end = thread.shutdown.clone();
    tokio::select! {
        // The caller logs the error of a failed call.
        _ = builder.serve_connection(io, service) => {}
        () = end.stopped() => shared.unflushed.leave(),
    }
}
