//! Serves one client's connection, over HTTP/1.1 or HTTP/2. The path of each request decides which component serves the
//! request.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use epilogue_manifest::routes::RESERVED;
use epilogue_manifest::settings::HostOptions;
use futures::future::{AbortHandle, Abortable};
use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::sync::oneshot::error::RecvError;

use crate::app::Route;
use crate::server::arrival::Arrival;
use crate::server::client_io::ClientIo;
use crate::server::linger::linger;
use crate::server::request_headers::Peer;
use crate::server::thread::ServerThread;
use crate::wire::activity::Activity;
use crate::wire::answer::{plain, whole};
use crate::wire::reply::ConnectionShared;
use crate::wire::sent::{TrackedBody, TrackedIo, Unflushed};

/// The time between two PING frames that the host sends to an HTTP/2 client. If the client does not answer a PING
/// within 20 seconds (hyper's default), the host treats the client as gone.
const PING: Duration = Duration::from_secs(60);
/// The longest time that a client may take to close a connection after the host has asked the client to close the
/// connection.
const GOODBYE: Duration = Duration::from_secs(5);

tokio::task_local! {
    /// Aborts the tokio task that sends the response. With HTTP/1, this task serves the whole connection. With HTTP/2,
    /// this task serves one stream.
    static SENDER: AbortHandle;
}

/// Serves a connection until the client, the idle timeout or the host's shutdown ends the connection.
pub(crate) async fn serve(thread: Rc<ServerThread>, io: impl ClientIo, peer: Peer) {
    let (sender, registration) = AbortHandle::new_pair();
    _ = Abortable::new(SENDER.scope(sender, speak(thread, io, peer)), registration).await;
}

async fn speak(thread: Rc<ServerThread>, io: impl ClientIo, peer: Peer) {
    let options = &thread.host.options;
    let io = Rc::new(RefCell::new(io));
    // A request has only a weak reference to the connection, so that a request whose client has left does not keep the
    // connection open.
    let client = Rc::downgrade(&io);
    let shared = ConnectionShared {
        unflushed: Unflushed::default(),
        activity: Activity::new(thread.host.addresses.of(peer.client.ip())),
        send_timeout: options.send_timeout,
        has_left: Rc::new(move || client.upgrade().is_none_or(|client| client.borrow().has_left())),
        observer: thread.observer.clone(),
        request_id: options.request_id,
    };
    if converse(&thread, io.clone(), Rc::new(peer), &shared).await && shared.unflushed.is_unread() {
        let (mut shutdown, mut end) = (thread.shutdown.clone(), thread.shutdown.clone());
        let soon = async {
            shutdown.begun().await;
            tokio::time::sleep(GOODBYE).await;
        };
        tokio::select! {
            () = linger(&io) => {}
            () = soon => {}
            () = end.stopped() => {}
        }
    }
}

/// Answers the client's requests until the connection ends. Returns true if the client may still be sending the body of
/// an HTTP/1 request that the host has already answered.
async fn converse(
    thread: &Rc<ServerThread>,
    io: Rc<RefCell<impl ClientIo>>,
    peer: Rc<Peer>,
    shared: &ConnectionShared,
) -> bool {
    let (mut shutdown, mut end) = (thread.shutdown.clone(), thread.shutdown.clone());
    let options = &thread.host.options;
    let io = TokioIo::new(TrackedIo::new(io, shared.unflushed.clone()));
    let streams = Cell::new(false);
    let service = service_fn(|request: Request<Incoming>| {
        streams.set(request.version() == Version::HTTP_2);
        respond(thread.clone(), peer.clone(), shared.clone(), request)
    });
    let builder = builder(options);
    let mut connection = std::pin::pin!(builder.serve_connection(io, service));
    let mut idle_limit = options.idle_timeout;
    let (mut leaving, mut draining, mut idle) = (false, false, false);
    let ended = loop {
        tokio::select! {
            ended = connection.as_mut() => break ended,
            () = shared.activity.idle(idle_limit) => {
                if leaving {
                    return false;
                }
                (leaving, idle) = (true, true);
                shared.activity.restart();
                idle_limit = idle_limit.min(GOODBYE);
            }
            _ = shutdown.begun(), if !draining => (leaving, draining, idle) = (true, true, shared.activity.is_idle()),
            () = end.stopped() => {
                shared.unflushed.leave();
                return false;
            }
        }
        connection.as_mut().graceful_shutdown();
    };
    let Err(error) = ended else { return !idle && !streams.get() };
    let text = error.to_string();
    tracing::debug!(target: "epilogue::connection", client = %peer.client, error = text, "the connection broke");
    // If hyper could not parse a request, hyper has sent an error answer.
    error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse)
}

/// Configures hyper's limits for clients. Does not change hyper's own limits against attacks on HTTP/2: rapid reset,
/// and floods of CONTINUATION, PING, SETTINGS and empty frames.
fn builder(options: &HostOptions) -> Builder<LocalExecutor> {
    let mut builder = Builder::new(LocalExecutor);
    let header_size = options.max_header_size.bytes();
    // Without a timer, hyper waits forever for a request's headers.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(options.idle_timeout).max_buf_size(header_size);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .max_concurrent_streams(options.max_streams.get())
        .max_header_list_size(u32::try_from(header_size).unwrap_or(u32::MAX));
    builder
}

/// Answers one request. After the answer, the request's tasks run even if the connection ends (promise S7).
async fn respond(
    thread: Rc<ServerThread>,
    peer: Rc<Peer>,
    shared: ConnectionShared,
    request: Request<Incoming>,
) -> Result<Response<TrackedBody>, RecvError> {
    let (arrival, response) = Arrival::new(request, shared, SENDER.get(), &peer);
    if let Some(arrival) = arrival {
        pass_on(&thread, arrival);
    }
    // If a request ends without an answer, which would be a bug of the host, hyper closes the connection.
    response.await
}

/// Finds the route for a request's path, and passes the request on to the route's component. If no component serves the
/// path, the host answers the request itself.
fn pass_on(thread: &Rc<ServerThread>, arrival: Arrival) {
    let serving = thread.serving();
    if let Some(status) = own_answer(arrival.path()) {
        return arrival.answer(plain(status));
    }
    let Some(matched) = serving.version.app.router.route(arrival.path()) else {
        return arrival.answer(plain(StatusCode::NOT_FOUND));
    };
    match matched.target {
        Route::Static(response) => arrival.answer(whole(response.clone())),
        Route::Component(place) => {
            let pool = &serving.pools[*place];
            if let Some((request, reply)) = arrival.for_component(pool, &matched) {
                thread.begin(pool.clone(), request, reply);
            }
        }
    }
}

/// Returns the status of the host's own answer to a path under [`RESERVED`]: 200 for the health path, 404 for any other
/// path under [`RESERVED`]. Returns `None` for all paths that are not under [`RESERVED`].
fn own_answer(path: &str) -> Option<StatusCode> {
    match path.strip_prefix(RESERVED)? {
        "health" => Some(StatusCode::OK),
        _ => Some(StatusCode::NOT_FOUND),
    }
}

/// Runs hyper's HTTP/2 streams on the connection's thread.
#[derive(Clone)]
struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        let (sender, registration) = AbortHandle::new_pair();
        tokio::task::spawn_local(Abortable::new(SENDER.scope(sender, future), registration));
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use http::uri::Scheme;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::app::version::Version;
    use crate::app::{App, AppOptions};
    use crate::process::shutdown::Shutdown;
    use crate::request::admission::Admission;
    use crate::server::thread::Host;
    use crate::tasks::observer::Observer;
    use epilogue_manifest::Manifest;

    fn host() -> Arc<Host> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("spin.toml");
        std::fs::write(&file, "spin_manifest_version = 2\n[application]\nname = \"none\"\n").unwrap();
        // The tests need no instance. Address space for many instances would take too much of the process's address
        // space.
        let engine = crate::component::engine::engine(std::num::NonZeroU32::MIN).unwrap().0;
        let manifest = Manifest::load(&file).unwrap();
        let app = App::load(&engine, &manifest, AppOptions::default()).unwrap();
        let versions =
            tokio::sync::watch::channel(Arc::new(Version { app, tls: None, loaded: std::time::SystemTime::now() })).1;
        let options = HostOptions::default();
        let admission = Admission::new(&options).into();
        Host::new(versions, options, Observer::default(), admission).into()
    }

    fn server_thread(host: &Arc<Host>, shutdown: Shutdown) -> Rc<ServerThread> {
        Rc::new(ServerThread::new(host.clone(), shutdown).0)
    }

    #[test]
    fn the_host_answers_reserved_paths() {
        assert_eq!(own_answer("/.well-known/spin/health"), Some(StatusCode::OK));
        assert_eq!(own_answer("/.well-known/spin/other"), Some(StatusCode::NOT_FOUND));
        assert_eq!(own_answer("/.well-known/spindle"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_http2_client_that_is_gone_is_noticed_while_its_request_is_at_work() {
        let begun = tokio::time::Instant::now();
        let (mut client, io) = tokio::io::duplex(1024);
        let hello =
            [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"[..], b"\0\0\x03\x01\x05\0\0\0\x01\x82\x86\x84"];
        client.write_all(&hello.concat()).await.unwrap();
        let never = service_fn(|_| std::future::pending::<Result<Response<String>, RecvError>>());
        let builder = builder(&HostOptions::default());
        let connection = SENDER.scope(AbortHandle::new_pair().0, builder.serve_connection(TokioIo::new(io), never));
        let ended = tokio::task::LocalSet::new().run_until(tokio::time::timeout(10 * PING, connection)).await;
        assert!(ended.is_ok_and(|ended| ended.is_err()));
        let passed = begun.elapsed();
        assert!(passed >= PING && passed < 2 * PING, "{passed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_asks_for_nothing_is_not_waited_for() {
        let thread = server_thread(&host(), crate::process::shutdown::channel().1);
        let local = SocketAddr::from(([127, 0, 0, 1], 80));
        for said in ["", "P", "PRI * HTTP/2.0\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"] {
            let (mut client, io) = tokio::io::duplex(1024);
            client.write_all(said.as_bytes()).await.unwrap();
            serve(thread.clone(), io, Peer { scheme: Scheme::HTTP, client: local, local }).await;
            client.read_to_end(&mut Vec::new()).await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_still_sends_is_waited_for_no_longer_than_the_host_lives() {
        let (host, second) = (host(), Duration::from_secs(1));
        for (grace, expected) in [(None, 30), (Some(60), 7), (Some(3), 5)] {
            let (trigger, shutdown) = crate::process::shutdown::channel();
            let thread = server_thread(&host, shutdown);
            let local = SocketAddr::from(([127, 0, 0, 1], 80));
            let (mut client, io) = tokio::io::duplex(1024);
            client.write_all(b"POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 1000\r\n\r\n").await.unwrap();
            let send_on = async {
                while client.write_all(b"a").await.is_ok() {
                    tokio::time::sleep(second).await;
                }
            };
            let stop = async {
                tokio::time::sleep(2 * second).await;
                if let Some(grace) = grace {
                    trigger.drain(grace * second);
                }
            };
            let begun = tokio::time::Instant::now();
            let serve = serve(thread, io, Peer { scheme: Scheme::HTTP, client: local, local });
            let served = async {
                serve.await;
                begun.elapsed()
            };
            let (served, ..) = tokio::join!(served, stop, send_on);
            assert_eq!(served.as_secs(), expected);
        }
    }
}
