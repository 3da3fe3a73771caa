//! Serves the dashboard, which consists of pages and a JSON interface, on a separate listener.
//!
//! The pages show the data of [`crate::reports`]. The pages are static files in `page/`, and get all data from the JSON
//! interface under `/api`.

mod answer;
mod api;
mod dead;
mod events;
mod guard;
mod workers;

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;

use crate::reports::history::History;
use crate::server::overview::Overview;
use crate::tasks::store::TaskStore;
pub(crate) use guard::Guard;

/// The largest number of open connections. Further connections wait in the kernel's queue until an open connection is
/// closed.
const CONNECTIONS: usize = 64;
/// The longest time that a client may take to send a request's headers.
const LIMIT: Duration = Duration::from_secs(10);
/// After the dashboard has failed to accept a connection, the dashboard waits for this time before the next attempt.
const PAUSE: Duration = Duration::from_millis(50);

/// The body of an answer, which is a complete body or a stream of events.
type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The data sources of the dashboard, and the rules for requests to the dashboard.
pub(crate) struct Dashboard {
    /// The host's current state, and the history of its requests. The value is `None` if the dashboard runs without a
    /// host.
    pub(crate) host: Option<(Overview, History)>,
    /// The task engine with the durable tasks. The value is `None` if there is no task engine.
    pub(crate) task_store: Option<TaskStore>,
    pub(crate) guard: Guard,
}

impl Dashboard {
    /// Starts a separate thread that serves the dashboard. Returns the URL that a person can open in a browser.
    ///
    /// # Errors
    ///
    /// Returns an error if the address cannot be bound, or if the system cannot start a thread.
    pub(crate) fn serve(self, address: SocketAddr) -> anyhow::Result<String> {
        let listener =
            TcpListener::bind(address).with_context(|| format!("cannot serve the dashboard on {address}"))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _context = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let url = self.guard.url(address);
        let answer = self.answer_all(listener);
        let thread = std::thread::Builder::new().name("epilogue-dashboard".into());
        thread.spawn(move || runtime.block_on(answer)).context("cannot start a thread")?;
        Ok(url)
    }

    async fn answer_all(self, listener: tokio::net::TcpListener) -> Infallible {
        let (dashboard, room) = (Arc::new(self), Arc::new(Semaphore::new(CONNECTIONS)));
        loop {
            let permit = room.clone().acquire_owned().await;
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let dashboard = dashboard.clone();
            tokio::spawn(async move {
                let answer = service_fn(move |request: Request<Incoming>| dashboard.clone().answer(request));
                let mut http = http1::Builder::new();
                let http = http.timer(TokioTimer::new()).header_read_timeout(LIMIT);
                // If a client ends the connection early, only this client loses an answer.
                _ = http.serve_connection(TokioIo::new(stream), answer).await;
                drop(permit);
            });
        }
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let mut response = match self.guard.refusal(&request) {
            None => api::answer(&self, request).await,
            Some(refusal) => refusal,
        };
        guard::protect(&mut response);
        Ok(response)
    }
}
