//! Functions for the benchmarks in `benches/`. Each function runs one part of a request's life, without a socket. This
//! module is not part of the API.

use std::net::Ipv4Addr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use epilogue_manifest::settings::{HostOptions, Settings};
use http_body_util::{BodyExt as _, Empty};
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;
use wasmtime::Engine;
use wasmtime_wasi_http::handler::Request;

pub use crate::app::{App, AppOptions};
use crate::budget::address::{Address, Addresses};
use crate::component::engine::config;
use crate::component::linker::linker;
use crate::component::pool::Pool;
use crate::component::{Component, ComponentConfig};
use crate::contract::bindings::{ResponseOutcome, RunWhen, TaskOptions, types};
use crate::interfaces::chaining::Chaining;
use crate::interfaces::outgoing::OwnAddress;
use crate::interfaces::wasi::{Output, WasiConfig};
use crate::process::shutdown::{self, ShutdownTrigger};
use crate::request::Life;
use crate::request::admission::Admission;
use crate::tasks::backlog::Backlog;
use crate::tasks::queue::Queue;
use crate::tasks::record::TaskState;

/// The name of the task in `tests/guests/examples/bench.rs`.
const NAME: &str = "count";
const ARGS: &[u8] = b"[0,0]";

const OPTIONS: TaskOptions = TaskOptions {
    run_when: RunWhen::Success,
    timeout: None,
    max_attempts: None,
    backoff: None,
    cancel_on_disconnect: false,
    durable: false,
    instance_bound: false,
};

/// A loaded component that runs on one thread, for measurements.
pub struct Bench {
    runtime: Runtime,
    pool: Rc<Pool>,
    /// The limits on the number of requests, which all measurements share. [`Bench::load`] makes this value before the
    /// measurements, because [`HostOptions::default`] needs a system call for the number of processors.
    admission: Arc<Admission>,
    address: Arc<Address>,
    _trigger: ShutdownTrigger,
}

/// Makes a wasmtime engine for at most four instances. The small number saves address space: a process can have several
/// of these engines, and valgrind can run one of them. The engine's epoch never advances, so the engine never
/// interrupts a guest that computes. If `target` is set, such as to `x86_64-unknown-linux-gnu`, the compiled code runs
/// on any processor of this target.
///
/// # Errors
///
/// Returns an error if wasmtime cannot start.
pub fn small_engine(target: Option<&str>) -> anyhow::Result<Engine> {
    let mut config = config(4);
    if let Some(target) = target {
        config.target(target).map_err(anyhow::Error::from)?;
    }
    Engine::new(&config).map_err(anyhow::Error::from)
}

impl Bench {
    /// Loads the component in `file`.
    ///
    /// # Errors
    ///
    /// Returns an error if the component cannot run on this host.
    pub fn load(engine: &Engine, file: &Path) -> anyhow::Result<Self> {
        let config = ComponentConfig {
            id: "bench".to_owned(),
            wasi: WasiConfig { output: Output::Silent, ..WasiConfig::default() },
            ..ComponentConfig::default()
        };
        let component = Component::load(&linker(engine, false)?, file, &[], &[], config, OwnAddress::default())?;
        let (trigger, shutdown) = shutdown::channel();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let admission = Arc::new(Admission::new(&HostOptions::default()));
        let pool = Rc::new(Pool::new(Arc::new(component), shutdown, Chaining::channel().0, 1));
        let address = Addresses::default().of(Ipv4Addr::LOCALHOST.into());
        Ok(Self { runtime, pool, admission, address, _trigger: trigger })
    }

    /// Makes an instance and drops it.
    ///
    /// # Errors
    ///
    /// Returns an error if the host has reached its limit of instances or of memory, or if the instance cannot start.
    pub fn instantiate(&self) -> anyhow::Result<()> {
        let fresh = self.runtime.block_on(self.pool.fresh());
        fresh.map(drop).map_err(|error| anyhow::anyhow!("{error}"))
    }

    /// Adds `tasks` tasks to an empty queue.
    ///
    /// # Errors
    ///
    /// Returns an error if a task is not accepted.
    pub fn enqueue(&self, tasks: u32) -> anyhow::Result<()> {
        fill(&mut Queue::new(&Settings::default(), false, Backlog::default()), tasks)
    }

    /// Runs a request without its handler and its response: adds `tasks` tasks to the queue, runs the tasks, and runs
    /// the teardown.
    ///
    /// # Errors
    ///
    /// Returns an error if a task does not succeed.
    pub fn drain(&self, tasks: u32) -> anyhow::Result<()> {
        let drained = async {
            let body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
            let request = Request::new(body);
            let slot = self.admission.admit(None, &self.address).map_err(|refused| anyhow::anyhow!("{refused:?}"))?;
            let mut life = Life::begin(self.pool.clone(), slot, Rc::default(), &request, &mut None)
                .await
                .map_err(|error| anyhow::anyhow!("{error}"))?;
            fill(&mut life.scope.queue(), tasks)?;
            let now = life.drain(Instant::now()).await;
            life.tear_down(now).await;
            life.release_instance().await;
            let ran = life.record.tasks.iter().filter(|task| task.state == TaskState::Succeeded).count();
            ensure!(ran == tasks as usize, "{ran} of {tasks} tasks ran: {:?}", life.record);
            Ok(())
        };
        self.runtime.block_on(drained)
    }

    /// Calls the guest's task function `calls` times. Runs no other part of a request's life.
    ///
    /// # Errors
    ///
    /// Returns an error if a call fails.
    pub fn call(&self, calls: u32) -> anyhow::Result<()> {
        let task = types::Task {
            id: 1,
            name: NAME.to_owned(),
            args: ARGS.to_vec(),
            attempt: 1,
            outcome: ResponseOutcome::Delivered,
        };
        self.runtime.block_on(async {
            let mut instance = self.pool.take().await.map_err(|error| anyhow::anyhow!("{error}"))?;
            let called = instance.run_bare(&task, calls).await;
            self.pool.give_back(instance);
            called.map_err(anyhow::Error::from).context("the guest's task failed")
        })
    }
}

fn fill(queue: &mut Queue, tasks: u32) -> anyhow::Result<()> {
    for _ in 0..tasks {
        let task = queue.accept(0, NAME.to_owned(), ARGS.to_vec(), OPTIONS);
        queue.push(task.map_err(|error| anyhow::anyhow!("{error}"))?);
    }
    Ok(())
}
