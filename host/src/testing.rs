//! Runs the real host on a free port of this machine, to test guests. A test can wait for the end of a request's tasks.
//!
//! ```no_run
//! use epilogue::testing::TestHost;
//!
//! let host = TestHost::start("target/wasm/wasm32-wasip2/release/notify.wasm");
//! let exchange = host.post("/send-notification/a@b.c?q=x", "");
//!
//! assert_eq!(exchange.response().status(), 200);
//! let states: Vec<_> = exchange.drained().tasks.iter().map(|task| task.state.as_str()).collect();
//! assert_eq!(states, ["succeeded", "succeeded"]);
//! assert!(host.stdout().ends_with("session closed\n"));
//! ```
//!
//! To run tests with a task engine, set the environment variable `EPILOGUE_TEST_ENGINE`, for example to
//! `sqlite:/tmp/tasks-{}.db`. Each host replaces `{}` with its own number. With a task engine, the hosts of the tests
//! work as follows:
//!
//! - All tasks that the host can store are durable, and the host itself runs these tasks as a worker.
//! - A request's record is complete when the request's tasks have ended. The record sorts the tasks by their numbers.
//! - A task has one attempt, unless its options allow more. The pause before a task's first retry is 10 ms.
//!
//! All functions block, so tests need no `async`. If a function cannot continue, or has waited for a minute, it panics.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod engine;
mod exchange;
mod records;
mod settings;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use epilogue_manifest::Manifest;
use epilogue_manifest::settings::{HostOverlay, SettingsOverlay};
use epilogue_spin::key_value::{Backends, Stores};
use epilogue_spin::variables::{Provider, Resolver};
use http::{Request, Response};
use uuid::Uuid;
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;

use crate::app::{App, AppOptions, TaskStore};
use crate::interfaces::wasi::Output;
use crate::process::shutdown::{self, ShutdownTrigger};
use crate::reports::Reports;
use crate::server::Server;

use self::engine::engine;
use self::exchange::exchange;
use self::records::Records;

pub use crate::commands::compose::{Composed, compose};
pub use crate::contract::bindings::ResponseOutcome;
pub use crate::server::raise_open_files;
pub use crate::tasks::observer::Summary;
pub use crate::tasks::record::{RequestRecord, StoredTask, TaskRecord, TaskState};

/// The longest time that a test waits for a response or for a record.
const PATIENCE: Duration = Duration::from_secs(60);
/// The largest number of bytes that a host keeps of the guests' stdout. The same limit applies to stderr.
const MAX_OUTPUT: usize = 16 << 20;

/// The environment variable that names a task engine for the tasks of all tests.
const ENGINE: &str = "EPILOGUE_TEST_ENGINE";

/// A running host. Dropping this value stops the host at once.
pub struct TestHost {
    address: SocketAddr,
    stdout: MemoryOutputPipe,
    stderr: MemoryOutputPipe,
    trigger: ShutdownTrigger,
    server: Option<JoinHandle<anyhow::Result<Summary>>>,
    records: Records,
    /// The records of the batches that the host's workers ran. The value is `None` if [`ENGINE`] is not set.
    worked: Option<Records>,
}

/// The configuration of a [`TestHost`]. [`TestHostBuilder::start`] starts this host.
pub struct TestHostBuilder {
    manifest: Source,
    host: HostOverlay,
    settings: SettingsOverlay,
    environment: Vec<(String, String)>,
    variables: BTreeMap<String, String>,
    stores: Stores,
}

enum Source {
    File(PathBuf),
    Text(String),
}

impl TestHost {
    /// Starts a host that serves one component on all paths, with the default settings.
    pub fn start(component: impl AsRef<Path>) -> Self {
        Self::component(component).start()
    }

    /// Returns the configuration of a host that serves one component on all paths.
    pub fn component(component: impl AsRef<Path>) -> TestHostBuilder {
        let source = std::path::absolute(component).expect("the component's path should be valid");
        let text = format!(
            "spin_manifest_version = 2\n[application]\nname = \"test\"\n\
             [[trigger.http]]\nroute = \"/...\"\ncomponent = \"test\"\n[component.test]\nsource = {:?}\n",
            source.display().to_string()
        );
        TestHostBuilder::new(Source::Text(text))
    }

    /// Returns the configuration of a host that serves the application of a manifest.
    pub fn manifest(manifest: impl AsRef<Path>) -> TestHostBuilder {
        TestHostBuilder::new(Source::File(manifest.as_ref().to_owned()))
    }

    /// Returns the address that the host listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a GET request.
    pub fn get(&self, path: &str) -> Exchange<'_> {
        self.send(Request::get(path).body(Bytes::new()).expect("the path should be valid"))
    }

    /// Sends a POST request.
    pub fn post(&self, path: &str, body: impl Into<Bytes>) -> Exchange<'_> {
        self.send(Request::post(path).body(body.into()).expect("the path should be valid"))
    }

    /// Sends a request over HTTP/1.1, on a new connection. The URI is a path. The test may set a `traceparent` header.
    pub fn send(&self, mut request: Request<Bytes>) -> Exchange<'_> {
        let own = request.headers().get("traceparent").and_then(|parent| parent.to_str().ok());
        let trace_id = own.and_then(|parent| parent.get(3..35)).map(str::to_owned).unwrap_or_else(|| {
            let id = Uuid::now_v7();
            let parent = format!("00-{}-{:016x}-01", id.simple(), id.as_u64_pair().1);
            request.headers_mut().insert("traceparent", parent.parse().expect("it is valid"));
            id.simple().to_string()
        });
        request.headers_mut().entry("host").or_insert(self.address.to_string().parse().expect("it is valid"));
        Exchange::begin(self, trace_id, request)
    }

    /// Waits until the request with this trace id and its tasks have ended, and returns the request's record.
    ///
    /// A test can take each record only once. If no component served the request, there is no record to wait for.
    pub fn record(&self, trace_id: &str) -> RequestRecord {
        self.find(|record| record.trace_id == trace_id)
    }

    /// Returns the oldest record that the test has not taken yet. If there is no such record, waits until a request
    /// ends.
    pub fn next_record(&self) -> RequestRecord {
        self.find(|_| true)
    }

    fn find(&self, wanted: impl Fn(&RequestRecord) -> bool) -> RequestRecord {
        let mut record = self.next(&self.records, wanted);
        let Some(worked) = &self.worked else { return record };
        let (mut stored, mut ended) = (record.stored.len(), 0);
        while ended < stored {
            let more = self.next(worked, |more| more.id == record.id);
            // If a task of the request has stored further tasks, these tasks are part of the request too.
            stored += more.stored.len();
            ended += more.tasks.len();
            record.tasks.extend(more.tasks);
            record.errors.extend(more.errors);
        }
        if stored > 0 {
            record.tasks.sort_by_key(|task| task.id);
        }
        record
    }

    fn next(&self, records: &Records, wanted: impl Fn(&RequestRecord) -> bool) -> RequestRecord {
        let found = records.take(PATIENCE, wanted);
        found.unwrap_or_else(|| panic!("the request did not end; the guest printed:\n{}", self.stderr()))
    }

    /// Returns all text that the guests have printed to stdout.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout.contents()).into_owned()
    }

    /// Returns all text that the guests have printed to stderr.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr.contents()).into_owned()
    }

    /// Begins the shutdown, as the first SIGTERM to `epilogue up` does.
    pub fn begin_shutdown(&self, grace: Duration) {
        self.trigger.drain(grace);
    }

    /// Stops the host at once, as a second SIGTERM to `epilogue up` does.
    pub fn stop(&self) {
        self.trigger.stop();
    }

    /// Shuts the host down, and returns a summary of the host's work. The test can still take the remaining records.
    pub fn shut_down(&mut self, grace: Duration) -> Summary {
        self.trigger.drain(grace);
        let server = self.server.take().expect("it should be shut down once");
        server.join().expect("the server should not panic").expect("the server should end well")
    }
}

impl Drop for TestHost {
    fn drop(&mut self) {
        self.trigger.stop();
        if let Some(server) = self.server.take() {
            _ = server.join();
        }
    }
}

impl TestHostBuilder {
    fn new(manifest: Source) -> Self {
        let host = HostOverlay { listen: Some(([127, 0, 0, 1], 0).into()), ..HostOverlay::default() };
        Self {
            manifest,
            host,
            settings: SettingsOverlay::default(),
            environment: Vec::new(),
            variables: BTreeMap::new(),
            stores: Stores::default(),
        }
        .threads(2)
    }

    /// Sets a setting of the host or of all components. `epilogue up --help` lists the names of the settings.
    ///
    /// # Panics
    ///
    /// Panics if the setting does not exist, if the value is not valid, or if all hosts of the process share the
    /// setting: `grace`, `log`, `log-format`, `max-memory`, `metrics-listen`, `quiet`, `task-spans`, `tls-cert` and
    /// `tls-key`.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        settings::set(&mut self.host, &mut self.settings, name, value);
        self
    }

    /// Sets an environment variable for all components.
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.environment.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Sets a variable that the manifest declares, as `--variable` does.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sets the folder for the application's data, as `--state-dir` does. By default, the host keeps the data in
    /// memory.
    pub fn state_dir(mut self, folder: impl AsRef<Path>) -> Self {
        self.stores = Stores::new(Backends::default(), BTreeMap::new(), Some(folder.as_ref()));
        self
    }

    /// Adds lines to the component's table in the manifest. Panics for a host from [`TestHost::manifest`].
    pub fn more(mut self, lines: &str) -> Self {
        match &mut self.manifest {
            Source::Text(text) => text.push_str(&format!("{lines}\n")),
            Source::File(_) => panic!("what a component has is up to its manifest"),
        }
        self
    }

    /// Allows the guest to send requests to a destination. Panics for a host from [`TestHost::manifest`].
    pub fn allow(self, destination: &str) -> Self {
        self.more(&format!("allowed_outbound_hosts = [{destination:?}]"))
    }

    /// Sets the number of serving threads. The default is two.
    pub fn threads(mut self, threads: usize) -> Self {
        self.host.threads = NonZeroUsize::new(threads);
        self
    }

    /// Starts the host. Panics if the application cannot run.
    pub fn start(self) -> TestHost {
        self.try_start().unwrap_or_else(|error| panic!("the application cannot run: {error:#}"))
    }

    /// Starts the host, or returns the reason why the application cannot run.
    ///
    /// # Errors
    ///
    /// Returns the same errors as `epilogue up`.
    pub fn try_start(mut self) -> anyhow::Result<TestHost> {
        let moved = self.move_tasks();
        let folder;
        let file = match self.manifest {
            Source::File(file) => file,
            Source::Text(text) => {
                folder = tempfile::tempdir()?;
                let file = folder.path().join("spin.toml");
                std::fs::write(&file, text)?;
                file
            }
        };
        let manifest = Manifest::load(&file)?.select(&[])?;
        let (max_instances, host) = (self.host.max_instances, self.host.resolve());
        let (stdout, stderr) = (MemoryOutputPipe::new(MAX_OUTPUT), MemoryOutputPipe::new(MAX_OUTPUT));
        let options = AppOptions {
            settings: self.settings,
            environment: self.environment,
            output: Output::Captured { stdout: stdout.clone(), stderr: stderr.clone() },
            guest_log: None,
            task_store: TaskStore::of(&host)?,
            stores: self.stores,
            variables: Resolver::new(manifest.variables.clone(), vec![Provider::Static(self.variables)]),
        };
        let engine = match max_instances {
            Some(max_instances) => crate::component::engine::engine(max_instances)?.0,
            None => engine()?.clone(),
        };
        let app = App::load(&engine, &manifest, options)?;
        let mut server = Server::bind(app, host.clone(), None, &Reports::new(&host, &Default::default()))?;
        let (sender, incoming) = mpsc::channel();
        server.observe(sender);
        let (sender, worked) = mpsc::channel();
        server.observe_work(sender);
        let address = server.address();
        let (trigger, shutdown) = shutdown::channel();
        Ok(TestHost {
            address,
            stdout,
            stderr,
            trigger,
            server: Some(thread::spawn(move || server.run(shutdown))),
            records: Records::keep(incoming),
            worked: moved.then(|| Records::keep(worked)),
        })
    }

    /// Makes all tasks durable in the engine that [`ENGINE`] names, unless the test has set `engine` or `durable`.
    /// Returns true if this function has made the tasks durable.
    fn move_tasks(&mut self) -> bool {
        static HOSTS: AtomicUsize = AtomicUsize::new(0);
        let Ok(url) = std::env::var(ENGINE) else { return false };
        if self.host.engine.is_some() || self.settings.durable.is_some() {
            return false;
        }
        self.host.engine = Some(url.replace("{}", &HOSTS.fetch_add(1, Relaxed).to_string()));
        self.host.work = Some(true);
        self.settings.durable = Some(true);
        self.settings.durable_attempts.get_or_insert(NonZeroU32::MIN);
        self.settings.durable_backoff.get_or_insert(Duration::from_millis(10));
        true
    }
}

/// A request that the test has sent, with its response and its record.
pub struct Exchange<'host> {
    host: &'host TestHost,
    trace_id: String,
    client: Mutex<Option<JoinHandle<anyhow::Result<Response<Bytes>>>>>,
    response: OnceCell<Response<Bytes>>,
}

impl<'host> Exchange<'host> {
    /// Starts a thread that sends `request`. `trace_id` is the id of the request's trace.
    fn begin(host: &'host TestHost, trace_id: String, request: Request<Bytes>) -> Self {
        let address = host.address;
        let client = Mutex::new(Some(thread::spawn(move || exchange(address, request, PATIENCE))));
        Self { host, trace_id, client, response: OnceCell::new() }
    }

    /// Waits for the whole response and returns it.
    pub fn response(&self) -> &Response<Bytes> {
        self.response.get_or_init(|| {
            let client = self.client.lock().unwrap().take().expect("it is taken once");
            client
                .join()
                .expect("the client should not panic")
                .unwrap_or_else(|error| panic!("no response: {error:#}; the guest printed:\n{}", self.host.stderr()))
        })
    }

    /// Waits for the response and returns its body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(self.response().body()).expect("the body should be text")
    }

    /// Waits until the request's tasks and teardown have ended, and takes the record. A second call panics.
    pub fn drained(&self) -> RequestRecord {
        self.host.record(&self.trace_id)
    }
}
