//! A stock host: wasmtime's own handler of HTTP components. `wasmtime serve` and Spin use this handler with the same
//! configuration. It has no background tasks.

use std::future::pending;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Instant;

use bytes::Bytes;
use epilogue::testing::RequestRecord;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;
use wasmtime::component::{Component, GuestTaskId, Linker, ResourceTable};
use wasmtime::{Cache, CacheConfig, Config, Engine, Store, StoreContextMut};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, Proxy, ProxyHandler, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};
use wasmtime_wasi_http::p3::bindings::ServicePre;
use wasmtime_wasi_http::{Error, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::output::Output;
use super::told;

/// The defaults of `wasmtime serve` for a component of WASI 0.3.
const REUSE: usize = 128;
const CONCURRENCY: usize = 16;

/// A running host of one component.
pub(crate) struct StockHost {
    address: SocketAddr,
    stdout: Output,
    stderr: Output,
    instances: Arc<AtomicUsize>,
    records: Mutex<usize>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl StockHost {
    /// Composes a guest and runs it.
    pub(crate) fn start(guest: &str) -> Self {
        Self::with(guest, &[])
    }

    /// Composes a guest and runs it in this environment.
    pub(crate) fn with(guest: &str, environment: &[(&str, &str)]) -> Self {
        Self::behind(&[], guest, environment)
    }

    /// Composes a guest with middleware, the outermost first, and runs them in this environment.
    pub(crate) fn behind(middleware: &[&str], guest: &str, environment: &[(&str, &str)]) -> Self {
        let middleware: Vec<PathBuf> = middleware.iter().map(PathBuf::from).collect();
        let composed = epilogue::testing::compose(Path::new(guest), &middleware).unwrap();
        assert!(!composed.unchanged, "{guest} should have tasks");
        Self::run(&composed.bytes, environment)
    }

    /// Runs a component that was composed before.
    pub(crate) fn run(composed: &[u8], environment: &[(&str, &str)]) -> Self {
        let component = Component::new(engine(), composed).unwrap();
        let (stdout, stderr) = (Output::default(), Output::default());
        let instances = Arc::default();
        let state = Stock {
            component: ServicePre::new(linker().instantiate_pre(&component).unwrap()).unwrap(),
            environment: environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            stdout: stdout.clone(),
            stderr: stderr.clone(),
            instances: Arc::clone(&instances),
        };
        let (started, starting) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                started.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    () = serve(listener, ProxyHandler::new(state)) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            address: starting.recv().unwrap(),
            stdout,
            stderr,
            instances,
            records: Mutex::new(0),
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes a GET request.
    pub(crate) fn get(&self, path: &str) -> Response<Bytes> {
        self.send(Request::get(path).body(Bytes::new()).unwrap())
    }

    /// Makes a request, and takes the whole response.
    pub(crate) fn send(&self, mut request: Request<Bytes>) -> Response<Bytes> {
        request.headers_mut().insert("host", self.address.to_string().parse().unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            let (parts, body) = sender.send_request(request.map(Full::new)).await.unwrap().into_parts();
            Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
        })
    }

    /// The record of the request that ends next, read from the component's stderr.
    pub(crate) fn next_record(&self) -> RequestRecord {
        self.next_records(1).remove(0)
    }

    /// The requests that end next.
    pub(crate) fn next_records(&self, count: usize) -> Vec<RequestRecord> {
        let mut had = self.records.lock().unwrap();
        let (from, to) = (*had, *had + count);
        *had = to;
        self.stderr.wait_for(|text| {
            // Reading it all is worth the while only once all is there.
            let ended = text.matches("the request has ended").count();
            (ended >= to)
                .then(|| told::records(text).skip(from).take(count).collect::<Vec<_>>())
                .filter(|records| records.len() == count)
        })
    }

    /// What the guest has printed.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Waits until the guest has printed this line.
    pub(crate) fn wait_for_line(&self, line: &str) {
        self.stdout.wait_for(|text| text.lines().any(|printed| printed == line).then_some(()));
    }

    /// What the component has printed to stderr.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// How many instances the host has made so far.
    pub(crate) fn instances(&self) -> usize {
        self.instances.load(Relaxed)
    }
}

impl Drop for StockHost {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

async fn serve(listener: tokio::net::TcpListener, handler: ProxyHandler<Stock>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        // Or the end of a body without a length waits for the client's delayed acknowledgement.
        stream.set_nodelay(true).unwrap();
        let handler = handler.clone();
        let service = service_fn(move |request: Request<hyper::body::Incoming>| {
            let handler = handler.clone();
            async move {
                let request = request.map(|body| body.map_err(Error::from).boxed_unsync());
                let response = handler.handle((), request).await;
                Ok::<Response<WasiBody>, std::convert::Infallible>(response.unwrap_or_else(|error| {
                    let text = Full::new(Bytes::from(format!("{error:#}")));
                    let mut response = Response::new(text.map_err(|never| match never {}).boxed_unsync());
                    *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
                    response
                }))
            }
        });
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let mut config = Config::new();
        config.wasm_component_model_async(true);
        config.cache(Cache::new(CacheConfig::new()).ok());
        Engine::new(&config).unwrap()
    })
}

fn linker() -> Linker<State> {
    let mut linker = Linker::new(engine());
    wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
    wasmtime_wasi::p3::add_to_linker(&mut linker).unwrap();
    wasmtime_wasi_http::p3::add_to_linker(&mut linker).unwrap();
    linker
}

/// The host's part of wasmtime's handler.
struct Stock {
    component: ServicePre<State>,
    environment: Vec<(String, String)>,
    stdout: Output,
    stderr: Output,
    instances: Arc<AtomicUsize>,
}

struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: Default::default() }
    }
}

impl HandlerState for Stock {
    type StoreData = State;
    type WorkerExpiration = Never;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<State, Never, Worker>> {
        self.instances.fetch_add(1, Relaxed);
        let wasi = WasiCtxBuilder::new()
            .env("EPILOGUE_LOG", "debug")
            .envs(&self.environment)
            .stdout(self.stdout.clone())
            .stderr(self.stderr.clone())
            .inherit_network()
            .build();
        let state = State { wasi, http: WasiHttpCtx::new(), table: ResourceTable::new() };
        let mut store = Store::new(engine(), state);
        let proxy = Proxy::P3(self.component.instantiate_async(&mut store).await?);
        Ok(Instance { store, proxy, view: State::http, expiration: Never, state: Worker })
    }
}

struct Never;

impl WorkerExpiration for Never {
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>, _: WorkerStatus, _: Instant) -> Poll<()> {
        Poll::Pending
    }
}

struct Worker;

impl WorkerState for Worker {
    type StoreData = State;
    type RequestData = ();

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        match (concurrent, total) {
            (_, REUSE..) => ShouldAccept::Never,
            (CONCURRENCY.., _) => ShouldAccept::No,
            _ => ShouldAccept::Yes,
        }
    }

    fn on_request_start(
        &self,
        _: StoreContextMut<'_, State>,
        (): (),
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        Box::pin(pending())
    }

    fn drop(&self, _: Store<State>, result: wasmtime::Result<()>) {
        // A host that is dropped has instances yet.
        if let Err(error) = result
            && !error.to_string().contains("worker panicked")
        {
            eprintln!("an instance died: {error:?}");
        }
    }
}
