//! Collects the state of the whole process for `epilogue status`, the gauges of `/metrics`, and the dashboard.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use epilogue_engines::Counts;
use epilogue_manifest::settings::HostOptions;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};
use wasmtime::Engine;

use crate::app::version::Replacer;
use crate::budget::{memory, refusals};
use crate::component::pool;
use crate::process::shutdown::Shutdown;
use crate::reports::view::Summary;
use crate::server::progress::Progress;
use crate::tasks::leases::{self, Worker};
use crate::tasks::live::Live;
use crate::tasks::store::TaskStore;
use crate::tasks::timeline::Timeline;
use crate::telemetry::timestamp;

/// The longest time that the host waits for the task engine's counts of stored batches.
const PATIENCE: Duration = Duration::from_secs(2);

/// Collects the state of the process from the process's parts. Cloning this value is cheap.
#[derive(Clone)]
pub(crate) struct Overview(Arc<Sources>);

pub(crate) struct Sources {
    pub(crate) name: String,
    pub(crate) started: SystemTime,
    pub(crate) options: HostOptions,
    pub(crate) progress: Progress,
    pub(crate) live: Option<Live>,
    pub(crate) engine: Engine,
    pub(crate) task_store: Option<TaskStore>,
    pub(crate) shutdown: Shutdown,
    pub(crate) replacer: Replacer,
}

/// The state of a process at one moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    /// The version of Epilogue.
    pub(crate) version: String,
    /// The application's name.
    pub(crate) name: String,
    pub(crate) pid: u32,
    /// The time at which the process started, in the format of RFC 3339.
    pub(crate) started: String,
    /// The time at which the host collected this state, in the format of RFC 3339.
    pub(crate) now: String,
    /// The word `ready` or `stopping`.
    pub(crate) state: String,
    /// The number of seconds until the grace period of the shutdown ends. The value is `None` before the shutdown.
    pub(crate) grace_left: Option<f64>,
    /// The number of requests whose response is not sent yet.
    pub(crate) requests: usize,
    /// The number of requests whose response is sent or has failed, and whose tasks or teardown have not ended.
    pub(crate) draining: usize,
    /// The number of batches of durable tasks that this process runs.
    pub(crate) batches: usize,
    /// The number of running tasks in this process. The value is `None` if the process records no timelines.
    pub(crate) tasks_running: Option<usize>,
    /// The number of waiting tasks in this process. If the process records no timelines, this number includes the
    /// running tasks.
    pub(crate) tasks_waiting: usize,
    /// The number of instances that serve a request or a batch.
    pub(crate) instances_in_use: u64,
    /// The number of idle instances, which wait for a request.
    pub(crate) instances_idle: u64,
    pub(crate) limits: Vec<Use>,
    /// The number of refused requests of each limit that has refused a request, since the start of the process.
    pub(crate) refused: BTreeMap<String, u64>,
    /// The versions of the application that are still in use. The last entry is the version that new requests get.
    pub(crate) versions: Vec<Loaded>,
    pub(crate) components: Vec<String>,
    /// True if the process has a task engine.
    pub(crate) has_task_engine: bool,
    /// The number of batches in the task engine. The value is `None` if there is no task engine, or if the task engine
    /// does not answer.
    pub(crate) backlog: Option<Durable>,
}

/// A loaded version of the application.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Loaded {
    /// The time at which the host loaded the version, in the format of RFC 3339.
    pub(crate) loaded: String,
}

/// The answer to `epilogue status`: the state of a process, and the requests and batches that have not ended.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Status {
    #[serde(flatten)]
    pub(crate) state: State,
    /// The requests and batches that have not ended. The value is `None` if the process records no timelines.
    pub(crate) requests_now: Option<Vec<Summary>>,
    /// The workers that hold leases, in this process and in other processes. The value is `None` if there is no task
    /// engine, or if the task engine does not answer.
    pub(crate) workers: Option<Vec<Worker>>,
}

/// How much of a limit the process uses.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Use {
    pub(crate) name: String,
    #[serde(rename = "use")]
    pub(crate) used: u64,
    pub(crate) limit: u64,
}

/// The number of batches that the task engine holds in each state.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Durable {
    pub(crate) ready: u64,
    pub(crate) delayed: u64,
    pub(crate) leased: u64,
    pub(crate) dead: u64,
}

impl Overview {
    pub(crate) fn new(sources: Sources) -> Self {
        Self(Arc::new(sources))
    }

    /// Returns the requests and batches that have not ended. Returns `None` if the process records no timelines.
    pub(crate) fn live(&self) -> Option<&Live> {
        self.0.live.as_ref()
    }

    /// Reports whether the process has a task engine.
    pub(crate) fn has_task_engine(&self) -> bool {
        self.0.task_store.is_some()
    }

    /// Returns the times at which the application was reloaded, in the format of RFC 3339.
    pub(crate) fn reloads(&self) -> Vec<String> {
        self.0.replacer.reloads().into_iter().map(timestamp::of).collect()
    }

    /// Returns the number of microseconds from the request's arrival to the beginning of the host's shutdown. Returns
    /// `None` if the shutdown has not begun.
    pub(crate) fn stopping_since(&self, timeline: &Timeline) -> Option<u64> {
        let begun = self.0.shutdown.end()?.checked_sub(self.0.options.grace)?;
        Some(timeline.moment(begun.into_std()).micros())
    }

    /// Returns the current state of the process. Also asks the task engine, and waits for the answer no longer than
    /// [`PATIENCE`].
    pub(crate) async fn state(&self) -> State {
        let backlog = match &self.0.task_store {
            Some(store) => timeout(PATIENCE, store.call(|engine| async move { engine.counts().await })).await.ok(),
            None => None,
        };
        let backlog = backlog.and_then(Result::ok).map(|Counts { ready, delayed, leased, dead }| Durable {
            ready,
            delayed,
            leased,
            dead,
        });
        State { backlog, ..self.local() }
    }

    /// Returns the current state of the process, and all requests and batches that have not ended, the oldest first.
    pub(crate) async fn status(&self) -> Status {
        let requests_now = self.0.live.as_ref().map(|live| {
            let mut requests: Vec<_> = live.all().iter().map(|shared| Summary::of(&shared.lock())).collect();
            requests.sort_by(|one, other| one.time.cmp(&other.time));
            requests
        });
        let workers = async {
            let store = self.0.task_store.as_ref()?;
            timeout(PATIENCE, leases::workers(store)).await.ok()?.ok()
        };
        // Both at the same time, because both wait for the task engine.
        let (workers, state) = tokio::join!(workers, self.state());
        Status { state, requests_now, workers }
    }

    /// Returns the current state of the process without asking the task engine.
    fn local(&self) -> State {
        let Sources { name, started, options, progress, live, engine, shutdown, replacer, .. } = &*self.0;
        let (requests, draining) = progress.at_work_and_draining();
        let tasks = live.as_ref().map(Live::tasks);
        let instances = engine.pooling_allocator_metrics().map_or(0, |pool| pool.component_instances());
        let idle = pool::idle_instances();
        let limit = |name: &str, used: u64, limit: u64| Use { name: name.to_owned(), used, limit };
        let grace = shutdown.end().map(|end| end.saturating_duration_since(Instant::now()));
        State {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            name: name.clone(),
            pid: std::process::id(),
            started: timestamp::of(*started),
            now: timestamp::timestamp(),
            state: if grace.is_some() { "stopping" } else { "ready" }.to_owned(),
            grace_left: grace.map(|grace| grace.as_secs_f64()),
            requests,
            draining,
            batches: progress.batches(),
            tasks_running: tasks.map(|tasks| tasks.running),
            tasks_waiting: tasks.map_or_else(|| progress.tasks(), |tasks| tasks.waiting),
            instances_in_use: instances.saturating_sub(idle),
            instances_idle: idle.min(instances),
            limits: vec![
                limit("max-requests", requests as u64, options.max_requests.get() as u64),
                limit("max-draining", draining as u64, options.max_draining.get() as u64),
                limit("max-instances", instances, options.max_instances.get().into()),
                limit("max-memory", memory::taken(), memory::max()),
            ],
            refused: refusals::all(),
            has_task_engine: self.has_task_engine(),
            versions: replacer.loaded().into_iter().map(|time| Loaded { loaded: timestamp::of(time) }).collect(),
            components: replacer.components(),
            backlog: None,
        }
    }
}
