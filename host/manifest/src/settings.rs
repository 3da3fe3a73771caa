//! The settings that an operator can change. This file defines each setting once: its name, meaning, environment
//! variable, type and default.
//!
//! The macro `settings!` makes two structs from each list of settings: an overlay and a resolved struct. An overlay
//! contains the settings that the user has written in one place. In the resolved struct, each setting has a value: the
//! user's value, or the default.
//!
//! There are three overlays: one for the command line and the `EPILOGUE_…` environment variables, one for a component's
//! `tool.epilogue` table, and one for the application's `tool.epilogue` table. If several overlays contain a setting,
//! the command line wins over the component's table, and the component's table wins over the application's table.

#[macro_use]
mod define;
#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use epilogue_rules::backoff::Backoff;

use crate::values::{LogFilter, LogFormat, Maximum, OnFailure, RequestId, Size, TaskSpans, Value};

settings! {
    /// The settings of one component.
    pub struct Settings;
    /// The settings of a component from one source, such as the manifest or the command line. A setting may be missing.
    pub struct SettingsOverlay {
        /// Number of requests that one instance serves, one after the other. After this number of requests, the host
        /// replaces the instance. With `1`, each request gets a new instance.
        #[arg(help_heading = "Guests", env = "EPILOGUE_REUSE", value_name = "COUNT")]
        reuse: NonZeroU32 = nonzero_u32(128);
        /// What the host does with the later tasks of a request after one of the request's tasks has failed. With
        /// `stop`, the host skips the later tasks. With `continue`, the host runs the later tasks. The guest can choose
        /// another policy for a request.
        #[arg(help_heading = "Tasks", env = "EPILOGUE_ON_FAILURE", value_name = "POLICY")]
        on_failure: OnFailure = OnFailure::Stop;
        /// Longest time that a handler may take to return its response headers. If the handler takes longer, the host
        /// stops the handler and answers 504. The response body may take more time.
        #[arg(help_heading = "Tasks", env = "EPILOGUE_REQUEST_TIMEOUT", value_name = "DURATION")]
        request_timeout: Duration = Duration::from_secs(30), least MOMENT;
        /// Longest time for which a guest may write nothing to the response body while the client waits for more data.
        /// If the guest writes nothing for longer, the host stops the guest and aborts the response.
        #[arg(help_heading = "Tasks", env = "EPILOGUE_RESPONSE_TIMEOUT", value_name = "DURATION")]
        response_timeout: Duration = Duration::from_secs(60), least MOMENT;
        /// Longest time that one attempt of a task may take. The guest can set a shorter timeout for a task.
        #[arg(help_heading = "Tasks", env = "EPILOGUE_TASK_TIMEOUT", value_name = "DURATION")]
        task_timeout: Duration = Duration::from_secs(30), least MOMENT;
        /// Longest time that all tasks of one request may take together, including the pauses between attempts. After
        /// this time, the host abandons the remaining tasks. If a remaining task is durable, a worker runs the task
        /// later.
        #[arg(help_heading = "Tasks", env = "EPILOGUE_DRAIN_TIMEOUT", value_name = "DURATION")]
        drain_timeout: Duration = Duration::from_secs(300), least MOMENT;
        /// Longest time that the teardown of one request may take. In the teardown, the guest runs its `on_teardown`
        /// callbacks.
        #[arg(help_heading = "Tasks", env = "EPILOGUE_TEARDOWN_TIMEOUT", value_name = "DURATION")]
        teardown_timeout: Duration = Duration::from_secs(30), least MOMENT;
        /// Largest number of tasks that one request may enqueue.
        #[arg(help_heading = "Limits", env = "EPILOGUE_MAX_TASKS", value_name = "COUNT")]
        max_tasks: u32 = 1_000;
        /// Largest size of the arguments of one task.
        #[arg(help_heading = "Limits", env = "EPILOGUE_MAX_TASK_ARGS", value_name = "SIZE")]
        max_task_args: Size = Size::mebibytes(1), least NO_ARGUMENTS;
        /// Largest size of the arguments of all tasks of one request together.
        #[arg(help_heading = "Limits", env = "EPILOGUE_MAX_REQUEST_ARGS", value_name = "SIZE")]
        max_request_args: Size = Size::mebibytes(16), least NO_ARGUMENTS;
        /// Largest size of a request body. If the header `content-length` announces a larger body, the host answers
        /// 413. If a body without this header becomes larger, the guest gets an error when it reads the body. By
        /// default, the size of a body has no limit.
        #[arg(help_heading = "Limits", env = "EPILOGUE_MAX_BODY_SIZE", value_name = "SIZE")]
        max_body_size: Size;
        /// Longest time that a handler waits for the next bytes of its request body. If no bytes arrive within this
        /// time, the handler gets an error when it reads the body.
        #[arg(help_heading = "Limits", env = "EPILOGUE_BODY_TIMEOUT", value_name = "DURATION")]
        body_timeout: Duration = Duration::from_secs(60), least MOMENT;
        /// Makes all tasks durable, except closures and tasks with `cancel_on_disconnect`. The host stores durable
        /// tasks in the task engine, so that they survive a crash of the host. Needs the setting `engine`.
        #[arg(
            help_heading = "Durable tasks",
            env = "EPILOGUE_DURABLE", value_name = "BOOL",
            num_args = 0..=1, require_equals = true, default_missing_value = "true"
        )]
        durable: bool = false;
        /// Largest number of attempts to run a durable task. The guest can set another number for a task. If the host
        /// crashes during an attempt, this attempt counts too.
        #[arg(help_heading = "Durable tasks", env = "EPILOGUE_DURABLE_ATTEMPTS", value_name = "COUNT")]
        durable_attempts: NonZeroU32 = nonzero_u32(10);
        /// Pause before the second attempt of a durable task. Before each further attempt, the pause is twice as long,
        /// up to `durable-max-backoff`.
        #[arg(help_heading = "Durable tasks", env = "EPILOGUE_DURABLE_BACKOFF", value_name = "DURATION")]
        durable_backoff: Duration = Backoff::DURABLE.first;
        /// Longest pause between two attempts of a durable task.
        #[arg(help_heading = "Durable tasks", env = "EPILOGUE_DURABLE_MAX_BACKOFF", value_name = "DURATION")]
        durable_max_backoff: Duration = Backoff::DURABLE.max;
        /// Largest number of durable tasks in a chain in which each task adds the next task. If the last task of the
        /// longest allowed chain adds a durable task, `add_task` returns an error. This limit stops a task that adds
        /// itself again and again.
        #[arg(help_heading = "Durable tasks", env = "EPILOGUE_MAX_GENERATIONS", value_name = "COUNT")]
        max_generations: u32 = 100;
        /// Largest number of requests whose durable tasks wait or run. The limit is approximate. If this number is
        /// reached, the host answers 503 to a request that adds durable tasks.
        #[arg(help_heading = "Durable tasks", env = "EPILOGUE_MAX_BACKLOG", value_name = "COUNT")]
        max_backlog: u64 = 100_000;
        /// Adds the same headers as Spin to the request that a guest gets: `spin-path-info`, six other headers, and
        /// `spin-path-match-…` for the parameters of the route. With `false`, guests get none of these headers. With
        /// `false`, the host serves about 10 % more requests per second, if the requests are short.
        #[arg(
            help_heading = "Guests",
            env = "EPILOGUE_SPIN_HEADERS", value_name = "BOOL",
            num_args = 0..=1, require_equals = true, default_missing_value = "true"
        )]
        spin_headers: bool = true;
        /// Largest amount of memory that one instance may use. The value must be at least the amount of memory with
        /// which the component starts.
        #[arg(help_heading = "Guests", env = "EPILOGUE_MEMORY", value_name = "SIZE")]
        memory: Size = Size::mebibytes(128), least PAGE;
        /// Allows components to write to a copy of their files. The host keeps the copy in $TMPDIR, and deletes the
        /// copy when the host stops.
        #[arg(
            help_heading = "Guests",
            env = "EPILOGUE_ALLOW_TRANSIENT_WRITE", value_name = "BOOL",
            num_args = 0..=1, require_equals = true, default_missing_value = "true"
        )]
        allow_transient_write: bool = false;
        /// Largest size of the files of a component that has `allow-transient-write`. If the files would become larger
        /// than this size, the write fails.
        #[arg(help_heading = "Guests", env = "EPILOGUE_MAX_TRANSIENT_WRITE", value_name = "SIZE")]
        max_transient_write: Size = Size::mebibytes(256);
    }
}

settings! {
    /// The options of the host, which are the same for all components.
    pub struct HostOptions;
    /// The options of the host from one source, such as the manifest or the command line. An option may be missing.
    pub struct HostOverlay {
        /// Address and port on which the host accepts requests. With port 0, the system chooses a free port.
        #[arg(help_heading = "Server", env = "EPILOGUE_LISTEN", value_name = "ADDR")]
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 3000));
        /// PEM file with the certificate chain for https. Needs the setting `tls-key`.
        #[arg(help_heading = "Server", env = "EPILOGUE_TLS_CERT", value_name = "FILE")]
        tls_cert: PathBuf;
        /// PEM file with the private key of the certificate in `tls-cert`.
        #[arg(help_heading = "Server", env = "EPILOGUE_TLS_KEY", value_name = "FILE")]
        tls_key: PathBuf;
        /// Time that running requests and tasks have to end after the signal to stop (the grace period). After this
        /// time, the host stops the remaining requests and tasks.
        #[arg(help_heading = "Server", env = "EPILOGUE_GRACE", value_name = "DURATION")]
        grace: Duration = Duration::from_secs(30);
        /// Number of threads that run guests. Each thread has its own instances. The default is the number of cores.
        #[arg(help_heading = "Server", env = "EPILOGUE_THREADS", value_name = "COUNT")]
        threads: NonZeroUsize = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        /// Largest number of open connections. If this number is reached, the next connection waits until another
        /// connection closes.
        #[arg(help_heading = "Limits", env = "EPILOGUE_MAX_CONNECTIONS", value_name = "COUNT")]
        max_connections: NonZeroUsize = nonzero_usize(10_000);
        /// Largest number of open connections from one client address. If this number is reached, the host closes the
        /// next connection from the address. All IPv6 addresses of a /64 network count as one address. By default, an
        /// address has no limit, because all clients behind a reverse proxy have the proxy's address.
        #[arg(help_heading = "Limits", env = "EPILOGUE_MAX_CONNECTIONS_PER_ADDRESS", value_name = "COUNT")]
        max_connections_per_address: NonZeroUsize;
        /// Largest number of requests at work. A request is at work until its response is sent. If this number is
        /// reached, the host answers 503 to the next request.
        #[arg(help_heading = "Limits", env = "EPILOGUE_MAX_REQUESTS", value_name = "COUNT")]
        max_requests: NonZeroUsize = nonzero_usize(1_000);
        /// Largest number of requests at work from one client address. If this number is reached, the host answers 503
        /// to the next request from the address. All IPv6 addresses of a /64 network count as one address. By default,
        /// an address has no limit, because all clients behind a reverse proxy have the proxy's address.
        #[arg(help_heading = "Limits", env = "EPILOGUE_MAX_REQUESTS_PER_ADDRESS", value_name = "COUNT")]
        max_requests_per_address: NonZeroUsize;
        /// Largest number of stalled requests from one client address. A request is stalled while it waits for the
        /// client to send or read more. A request is also stalled if its client has left while the handler runs. If
        /// this number is reached, the host answers 503 to the next request from the address. If this setting is not
        /// set, the limit is a quarter of `max-requests`.
        #[arg(help_heading = "Limits", env = "EPILOGUE_MAX_STALLED_PER_ADDRESS", value_name = "COUNT")]
        max_stalled_per_address: NonZeroUsize;
        /// Largest number of requests whose response has been sent, and whose tasks or teardown have not ended. If this
        /// number is reached, the host answers 503 to new requests. The host still runs the tasks of the requests that
        /// it has accepted.
        #[arg(help_heading = "Limits", env = "EPILOGUE_MAX_DRAINING", value_name = "COUNT")]
        max_draining: NonZeroUsize = nonzero_usize(9_000);
        /// Longest time that a guest may wait for CPU time on its thread. While guests wait longer than this on
        /// average, the host answers 503 to new requests. A thread with fewer than eight requests at work still accepts
        /// new requests. With `10ms`, responses stay fast while the host is overloaded. With `none`, a guest may wait
        /// for CPU time without a limit.
        #[arg(help_heading = "Limits", env = "EPILOGUE_MAX_LAG", value_name = "DURATION")]
        max_lag: Maximum<Duration> = Maximum::Of(Duration::from_secs(5)), least Maximum::Of(MOMENT);
        /// Largest number of instances. If this number is reached, the host answers 503 to a request that needs a new
        /// instance, and a task that needs a new instance waits. At most half of this number of instances are idle.
        #[arg(help_heading = "Limits", env = "EPILOGUE_MAX_INSTANCES", value_name = "COUNT")]
        max_instances: NonZeroU32 = nonzero_u32(10_000);
        /// Largest amount of memory that the process may use. If the process uses seven eighths of this amount, the
        /// host starts no new instance: a request that needs a new instance gets 503, and a task that needs a new
        /// instance waits. If the process uses all of this amount, guests cannot get more memory. If this setting is
        /// not set, the limit is three quarters of the machine's memory. If the process's control group has a smaller
        /// limit, the limit is three quarters of the group's limit.
        #[arg(help_heading = "Limits", env = "EPILOGUE_MAX_MEMORY", value_name = "SIZE")]
        max_memory: Size;
        /// Largest number of open HTTP/2 streams of one connection. If a client resets a stream, the stream still
        /// counts as open until the host has ended its request. If more streams are open, the host answers 503 to the
        /// newest request.
        #[arg(help_heading = "Limits", env = "EPILOGUE_MAX_STREAMS", value_name = "COUNT")]
        max_streams: NonZeroU32 = nonzero_u32(200);
        /// Largest size of the headers of one request. The value must be at least 8KiB. If the headers are larger, the
        /// host answers 431. On HTTP/1, the host also answers 431 if a request has more than 100 headers.
        #[arg(help_heading = "Limits", env = "EPILOGUE_MAX_HEADER_SIZE", value_name = "SIZE")]
        max_header_size: Size = Size::kibibytes(64), least MIN_HEADER_SIZE;
        /// Longest time that the host waits for the headers of the next request on a connection. After this time, the
        /// host closes the connection.
        #[arg(help_heading = "Limits", env = "EPILOGUE_IDLE_TIMEOUT", value_name = "DURATION")]
        idle_timeout: Duration = Duration::from_secs(30), least MOMENT;
        /// Longest time that the host waits while a client takes no data of its response. After this time, the host
        /// treats the client as disconnected.
        #[arg(help_heading = "Limits", env = "EPILOGUE_SEND_TIMEOUT", value_name = "DURATION")]
        send_timeout: Duration = Duration::from_secs(60), least MOMENT;
        /// URL of the task engine, which is the store for durable tasks: `sqlite:PATH`, `redis://HOST`,
        /// `rediss://HOST`, `nats://HOST` or `tls://HOST`. Without a task engine, the host refuses durable tasks.
        #[arg(help_heading = "Durable tasks", env = "EPILOGUE_ENGINE", value_name = "URL", hide_env_values = true)]
        engine: String;
        /// Makes `epilogue up` run durable tasks too. Without this setting, `epilogue up` only stores durable tasks,
        /// and `epilogue worker` runs them.
        #[arg(
            help_heading = "Durable tasks",
            env = "EPILOGUE_WORK", value_name = "BOOL",
            num_args = 0..=1, require_equals = true, default_missing_value = "true"
        )]
        work: bool = false;
        /// Largest number of requests whose durable tasks this process runs at the same time.
        #[arg(help_heading = "Durable tasks", env = "EPILOGUE_CONCURRENCY", value_name = "COUNT")]
        concurrency: NonZeroUsize = nonzero_usize(16);
        /// First part of the name under which `epilogue tasks` shows this process. After this part, the host adds the
        /// process id and a random part. If this setting is not set, the first part is the machine's name.
        #[arg(help_heading = "Durable tasks", env = "EPILOGUE_WORKER_ID", value_name = "NAME")]
        worker_id: String;
        /// Duration of a lease, which is the right of one worker to run a request's durable tasks. A worker renews its
        /// lease while it runs the tasks. If a worker does not renew its lease, for example because the worker has
        /// crashed, another worker runs the tasks.
        #[arg(help_heading = "Durable tasks", env = "EPILOGUE_VISIBILITY_TIMEOUT", value_name = "DURATION")]
        visibility_timeout: Duration = Duration::from_secs(30), least MOMENT;
        /// Format of the log: `text` for people, or `json` with one object on each line. With `json`, each line that a
        /// component prints becomes an object too.
        #[arg(help_heading = "Server", env = "EPILOGUE_LOG_FORMAT", value_name = "FORMAT")]
        log_format: LogFormat = LogFormat::Text;
        /// Filter for the log. With `warn`, the log does not show the tasks that succeeded or were stored. With
        /// `epilogue::task=off`, the log shows no tasks at all. The host never logs `debug` and `trace` events of
        /// libraries, because these events could contain passwords and headers.
        #[arg(help_heading = "Server", env = "EPILOGUE_LOG", value_name = "FILTER")]
        log: LogFilter = LogFilter::info();
        /// Address at which the host serves `/metrics` in Prometheus' format, `/healthz` and `/readyz`. By default, the
        /// host does not serve these three paths.
        #[arg(help_heading = "Server", env = "EPILOGUE_METRICS_LISTEN", value_name = "ADDR")]
        metrics_listen: SocketAddr;
        /// Address at which the host serves the dashboard. If you write `--dashboard` without an address, the host
        /// chooses a free port of 127.0.0.1. If other machines can reach the address, you must also set
        /// `dashboard-token`. By default, the host serves the dashboard only with `--watch` and on a terminal.
        #[arg(
            help_heading = "Server",
            env = "EPILOGUE_DASHBOARD", value_name = "ADDR",
            num_args = 0..=1, require_equals = true, default_missing_value = "127.0.0.1:0"
        )]
        dashboard: SocketAddr;
        /// Allows users of the dashboard to retry and to drop dead tasks, which are tasks that failed for good.
        #[arg(
            help_heading = "Server",
            env = "EPILOGUE_DASHBOARD_ACTIONS", value_name = "BOOL",
            num_args = 0..=1, require_equals = true, default_missing_value = "true"
        )]
        dashboard_actions: bool = false;
        /// Password of the dashboard. If you set a password, open the dashboard at `/?token=TOKEN`.
        #[arg(
            help_heading = "Server",
            env = "EPILOGUE_DASHBOARD_TOKEN", value_name = "TOKEN",
            hide_env_values = true
        )]
        dashboard_token: String;
        /// Logs one event with the target `epilogue::access` for each request. The host logs the event after the
        /// request's tasks and teardown have ended.
        #[arg(
            help_heading = "Server",
            env = "EPILOGUE_ACCESS_LOG", value_name = "BOOL",
            num_args = 0..=1, require_equals = true, default_missing_value = "true"
        )]
        access_log: bool = false;
        /// How the host sets the response header `x-request-id`. With `return`, the host sets the header to the
        /// request's id. With `trust`, the host copies the request's header `x-request-id`, or sets the request's id if
        /// the request has no such header. With `off`, the host never sets the header. If the component has set the
        /// header, the host does not change the header.
        #[arg(help_heading = "Server", env = "EPILOGUE_REQUEST_ID", value_name = "MODE")]
        request_id: RequestId = RequestId::Return;
        /// How exported traces connect the span of a task with the span of its request. With `link`, the task's span
        /// has a link to the request's span, because the task begins after the response. With `child`, the task's span
        /// is a child of the request's span. Use `child` if your tracing system cannot follow links.
        #[arg(help_heading = "Server", env = "EPILOGUE_TASK_SPANS", value_name = "HOW")]
        task_spans: TaskSpans = TaskSpans::Link;
        /// Discards what components print to stdout and stderr.
        #[arg(
            help_heading = "Server",
            short, env = "EPILOGUE_QUIET", value_name = "BOOL",
            num_args = 0..=1, require_equals = true, default_missing_value = "true"
        )]
        quiet: bool = false;
    }
}

impl HostOptions {
    /// Returns an error if the options contradict each other.
    pub fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            !self.work || self.engine.is_some(),
            "work is set but engine is not: durable tasks need a task engine"
        );
        if let Some(address) = self.dashboard {
            anyhow::ensure!(
                address.ip().is_loopback() || self.dashboard_token.is_some(),
                "dashboard is {address}, which other machines can reach: set dashboard-token, or use an address of 127.0.0.1"
            );
        }
        Ok(())
    }

    /// Returns how many requests of one client address may be stalled at the same time. If the operator does not set
    /// `max-stalled-per-address`, the limit is a quarter of `max-requests`, but at least one.
    pub fn stalled_per_address(&self) -> usize {
        self.max_stalled_per_address.map_or_else(|| (self.max_requests.get() / 4).max(1), NonZeroUsize::get)
    }

    /// Returns the files of the TLS certificate and its key, or `None` if the host serves plain HTTP. Returns an error
    /// if the operator sets only one of the files.
    pub fn tls_files(&self) -> anyhow::Result<Option<(&PathBuf, &PathBuf)>> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
            (None, None) => Ok(None),
            (Some(_), None) => {
                anyhow::bail!("tls-cert is set but tls-key is not: https needs both")
            }
            (None, Some(_)) => {
                anyhow::bail!("tls-key is set but tls-cert is not: https needs both")
            }
        }
    }
}

/// The smallest limit for the size of request headers that hyper accepts.
const MIN_HEADER_SIZE: Size = Size::kibibytes(8);
/// The shortest timeout that a setting accepts. A timeout of zero would expire before any work is done.
const MOMENT: Duration = Duration::from_millis(1);
/// The size of `[]`, which stands for the arguments of a task that takes no arguments.
const NO_ARGUMENTS: Size = Size::new(2);
/// Size of a page of WebAssembly memory.
pub const PAGE: Size = Size::kibibytes(64);

/// Makes a parser that refuses values below `least`.
fn at_least<T: Value + PartialOrd + Clone>(least: T) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| match T::parse(text)? {
        value if value < least => Err(format!("{text:?} is too small: the least is {}", least.show())),
        value => Ok(value),
    }
}

/// Converts a number for a setting that cannot be zero. Zero becomes 1.
const fn nonzero_u32(number: u32) -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(number.saturating_sub(1))
}

/// Converts a number for a setting that cannot be zero. Zero becomes 1.
const fn nonzero_usize(number: usize) -> NonZeroUsize {
    NonZeroUsize::MIN.saturating_add(number.saturating_sub(1))
}

/// Returns the help text of an option. The text is the option's doc comment, and the default as a user would type it.
fn help(doc: &str, default: Option<String>) -> String {
    let doc = doc.trim().trim_end_matches('.');
    match default.as_deref() {
        // The help does not show the default `false`, because a flag is off by default.
        None | Some("false") => doc.to_owned(),
        Some(default) => format!("{doc} [default: {default}]"),
    }
}
