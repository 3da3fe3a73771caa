//! The settings that an operator can change. This file defines each setting once: its name, meaning, environment
//! variable, type and default.
//!
//! The macro `settings!` makes two structs from each list of settings. In the resolved struct, each setting has its
//! value or its default. In the overlay, each setting may be missing.
//!
//! The command line with its `EPILOGUE_…` variables, the `tool.epilogue` table of a component, and the `tool.epilogue`
//! table of the application each have an overlay. If several overlays contain a setting, the command line wins over the
//! component, and the component wins over the application.

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
    /// The settings of a component as a manifest or a command line sets them. Each setting may be missing.
    pub struct SettingsOverlay {
        /// Number of requests that one instance serves, one after the other, before the host drops the instance. With
        /// `1`, each request gets a fresh instance.
        #[arg(help_heading = "Guests", env = "EPILOGUE_REUSE", value_name = "COUNT")]
        reuse: NonZeroU32 = nonzero_u32(128);
        /// Policy after a failed task. With `stop`, the host skips the tasks behind the failed task. With `continue`,
        /// the host runs the tasks behind the failed task. The guest can choose another policy.
        #[arg(help_heading = "Tasks", env = "EPILOGUE_ON_FAILURE", value_name = "POLICY")]
        on_failure: OnFailure = OnFailure::Stop;
        /// Longest time until a handler returns its response headers. The response body may take longer.
        #[arg(help_heading = "Tasks", env = "EPILOGUE_REQUEST_TIMEOUT", value_name = "DURATION")]
        request_timeout: Duration = Duration::from_secs(30), least MOMENT;
        /// Longest pause of a guest while the client waits for more of the response body. If the guest pauses longer,
        /// the host stops the guest and aborts the response.
        #[arg(help_heading = "Tasks", env = "EPILOGUE_RESPONSE_TIMEOUT", value_name = "DURATION")]
        response_timeout: Duration = Duration::from_secs(60), least MOMENT;
        /// Longest time for one attempt of a task. The guest can set a shorter timeout for a task.
        #[arg(help_heading = "Tasks", env = "EPILOGUE_TASK_TIMEOUT", value_name = "DURATION")]
        task_timeout: Duration = Duration::from_secs(30), least MOMENT;
        /// Longest time for all tasks of one request together.
        #[arg(help_heading = "Tasks", env = "EPILOGUE_DRAIN_TIMEOUT", value_name = "DURATION")]
        drain_timeout: Duration = Duration::from_secs(300), least MOMENT;
        /// Longest time for the teardown of one request.
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
        /// Largest size of a request body. If a request body is larger, the host answers 413. If the guest already
        /// reads the larger body, the guest gets an error instead. By default, the size of a body has no limit.
        #[arg(help_heading = "Limits", env = "EPILOGUE_MAX_BODY_SIZE", value_name = "SIZE")]
        max_body_size: Size;
        /// Longest time for which a handler waits for the next bytes of its request body.
        #[arg(help_heading = "Limits", env = "EPILOGUE_BODY_TIMEOUT", value_name = "DURATION")]
        body_timeout: Duration = Duration::from_secs(60), least MOMENT;
        /// Makes all tasks durable, except closures and tasks with `cancel_on_disconnect`. Needs `engine`.
        #[arg(
            help_heading = "Durable tasks",
            env = "EPILOGUE_DURABLE", value_name = "BOOL",
            num_args = 0..=1, require_equals = true, default_missing_value = "true"
        )]
        durable: bool = false;
        /// Number of attempts for a durable task, unless the guest sets another number. If the host crashes during an
        /// attempt, the attempt counts.
        #[arg(help_heading = "Durable tasks", env = "EPILOGUE_DURABLE_ATTEMPTS", value_name = "COUNT")]
        durable_attempts: NonZeroU32 = nonzero_u32(10);
        /// Time before the second attempt of a durable task. The time doubles before each further attempt, up to
        /// `durable-max-backoff`.
        #[arg(help_heading = "Durable tasks", env = "EPILOGUE_DURABLE_BACKOFF", value_name = "DURATION")]
        durable_backoff: Duration = Backoff::DURABLE.first;
        /// Longest time between two attempts of a durable task.
        #[arg(help_heading = "Durable tasks", env = "EPILOGUE_DURABLE_MAX_BACKOFF", value_name = "DURATION")]
        durable_max_backoff: Duration = Backoff::DURABLE.max;
        /// Largest length of a chain in which each durable task adds the next durable task. If the chain is longer,
        /// `add_task` returns an error.
        #[arg(help_heading = "Durable tasks", env = "EPILOGUE_MAX_GENERATIONS", value_name = "COUNT")]
        max_generations: u32 = 100;
        /// Approximate largest number of requests whose durable tasks wait or run. If this number is reached, the host
        /// answers 503 to a request that adds durable tasks.
        #[arg(help_heading = "Durable tasks", env = "EPILOGUE_MAX_BACKLOG", value_name = "COUNT")]
        max_backlog: u64 = 100_000;
        /// Adds the same request headers as Spin: `spin-path-info` and six others, and `spin-path-match-…` for route
        /// parameters. With `false`, guests get none of these headers. If requests are short, the host serves about a
        /// tenth more requests with `false`.
        #[arg(
            help_heading = "Guests",
            env = "EPILOGUE_SPIN_HEADERS", value_name = "BOOL",
            num_args = 0..=1, require_equals = true, default_missing_value = "true"
        )]
        spin_headers: bool = true;
        /// Largest memory of one instance. The value must be at least the memory with which the component starts.
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
        /// Largest size of the copy of files that a component may write to. If a write exceeds this size, the write
        /// fails.
        #[arg(help_heading = "Guests", env = "EPILOGUE_MAX_TRANSIENT_WRITE", value_name = "SIZE")]
        max_transient_write: Size = Size::mebibytes(256);
    }
}

settings! {
    /// The options of the whole host.
    pub struct HostOptions;
    /// The options of the host as a manifest or a command line sets them. Each option may be missing.
    pub struct HostOverlay {
        /// Address and port to listen on. Port 0 picks a free port.
        #[arg(help_heading = "Server", env = "EPILOGUE_LISTEN", value_name = "ADDR")]
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 3000));
        /// Certificate chain for https, as a PEM file. Needs `tls-key`.
        #[arg(help_heading = "Server", env = "EPILOGUE_TLS_CERT", value_name = "FILE")]
        tls_cert: PathBuf;
        /// Private key of the certificate, as a PEM file.
        #[arg(help_heading = "Server", env = "EPILOGUE_TLS_KEY", value_name = "FILE")]
        tls_key: PathBuf;
        /// Time that running requests and tasks have to end when the host stops.
        #[arg(help_heading = "Server", env = "EPILOGUE_GRACE", value_name = "DURATION")]
        grace: Duration = Duration::from_secs(30);
        /// Number of threads that run guests. Each thread has its own instances. The default is the number of cores.
        #[arg(help_heading = "Server", env = "EPILOGUE_THREADS", value_name = "COUNT")]
        threads: NonZeroUsize = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        /// Largest number of open connections. If this number is reached, the next connection waits until another
        /// connection closes.
        #[arg(help_heading = "Limits", env = "EPILOGUE_MAX_CONNECTIONS", value_name = "COUNT")]
        max_connections: NonZeroUsize = nonzero_usize(10_000);
        /// Largest number of open connections of one client address. If this number is reached, the host closes the
        /// next connection of the address. All IPv6 addresses of a /64 network count as one address. By default, an
        /// address has no limit, because all clients behind a reverse proxy have the proxy's address.
        #[arg(help_heading = "Limits", env = "EPILOGUE_MAX_CONNECTIONS_PER_ADDRESS", value_name = "COUNT")]
        max_connections_per_address: NonZeroUsize;
        /// Largest number of requests at work. A request is at work until its response is sent. If this number is
        /// reached, the host answers 503 to the next request.
        #[arg(help_heading = "Limits", env = "EPILOGUE_MAX_REQUESTS", value_name = "COUNT")]
        max_requests: NonZeroUsize = nonzero_usize(1_000);
        /// Largest number of requests at work of one client address. If this number is reached, the host answers 503 to
        /// the next request of the address. All IPv6 addresses of a /64 network count as one address. By default, an
        /// address has no limit, because all clients behind a reverse proxy have the proxy's address.
        #[arg(help_heading = "Limits", env = "EPILOGUE_MAX_REQUESTS_PER_ADDRESS", value_name = "COUNT")]
        max_requests_per_address: NonZeroUsize;
        /// Largest number of stalled requests of one client address. A request is stalled if its client has left while
        /// the handler runs. A request is also stalled while it waits for the client to send or read more. If this
        /// number is reached, the host answers 503 to the next request of the address. The default is a quarter of
        /// `max-requests`.
        #[arg(help_heading = "Limits", env = "EPILOGUE_MAX_STALLED_PER_ADDRESS", value_name = "COUNT")]
        max_stalled_per_address: NonZeroUsize;
        /// Largest number of draining requests. A request drains from the end of its response to the end of its
        /// teardown. If this number is reached, the host answers 503 to new requests. The tasks of accepted requests
        /// still run.
        #[arg(help_heading = "Limits", env = "EPILOGUE_MAX_DRAINING", value_name = "COUNT")]
        max_draining: NonZeroUsize = nonzero_usize(9_000);
        /// Longest time that a computing guest may wait for its turn on its serving thread. While a guest waits longer,
        /// the host answers 503 to new requests. A serving thread with fewer than eight requests at work still accepts
        /// new requests. With `10ms`, the latency stays low in an overload. With `none`, the waiting time has no limit.
        #[arg(help_heading = "Limits", env = "EPILOGUE_MAX_LAG", value_name = "DURATION")]
        max_lag: Maximum<Duration> = Maximum::Of(Duration::from_secs(5)), least Maximum::Of(MOMENT);
        /// Largest number of instances. Up to half of the instances may be idle. If a request needs one more instance,
        /// the host answers 503. If a task needs one more instance, the task waits.
        #[arg(help_heading = "Limits", env = "EPILOGUE_MAX_INSTANCES", value_name = "COUNT")]
        max_instances: NonZeroU32 = nonzero_u32(10_000);
        /// Largest memory of the process. If the process has taken seven eighths of this memory, the host starts no new
        /// instance. A request that needs a new instance then gets 503, and a task that needs a new instance waits. If
        /// the process has taken all of this memory, guests cannot grow their memory. The default is three quarters of
        /// the memory of the machine or of its control group.
        #[arg(help_heading = "Limits", env = "EPILOGUE_MAX_MEMORY", value_name = "SIZE")]
        max_memory: Size;
        /// Largest number of open HTTP/2 streams of one connection. A reset stream counts as open until its request
        /// ends. If more streams are open, the host answers 503 to the newest request.
        #[arg(help_heading = "Limits", env = "EPILOGUE_MAX_STREAMS", value_name = "COUNT")]
        max_streams: NonZeroU32 = nonzero_u32(200);
        /// Largest size of the request headers. The value must be at least 8KiB. If the headers are larger, the host
        /// answers 431. On HTTP/1, the host also answers 431 to more than 100 headers.
        #[arg(help_heading = "Limits", env = "EPILOGUE_MAX_HEADER_SIZE", value_name = "SIZE")]
        max_header_size: Size = Size::kibibytes(64), least MIN_HEADER_SIZE;
        /// Longest time for which an idle connection waits for the headers of the next request. After this time, the
        /// host closes the connection.
        #[arg(help_heading = "Limits", env = "EPILOGUE_IDLE_TIMEOUT", value_name = "DURATION")]
        idle_timeout: Duration = Duration::from_secs(30), least MOMENT;
        /// Longest time for which a client may take no data of a response. After this time, the host treats the client
        /// as gone.
        #[arg(help_heading = "Limits", env = "EPILOGUE_SEND_TIMEOUT", value_name = "DURATION")]
        send_timeout: Duration = Duration::from_secs(60), least MOMENT;
        /// URL of the task engine, which stores durable tasks: `sqlite:PATH`, `redis://HOST`, `rediss://HOST`,
        /// `nats://HOST` or `tls://HOST`. Without a task engine, the host refuses durable tasks.
        #[arg(help_heading = "Durable tasks", env = "EPILOGUE_ENGINE", value_name = "URL", hide_env_values = true)]
        engine: String;
        /// Runs durable tasks in this process too, beside the requests. Without this setting, only `epilogue worker`
        /// runs durable tasks.
        #[arg(
            help_heading = "Durable tasks",
            env = "EPILOGUE_WORK", value_name = "BOOL",
            num_args = 0..=1, require_equals = true, default_missing_value = "true"
        )]
        work: bool = false;
        /// Largest number of requests whose durable tasks this process runs at the same time.
        #[arg(help_heading = "Durable tasks", env = "EPILOGUE_CONCURRENCY", value_name = "COUNT")]
        concurrency: NonZeroUsize = nonzero_usize(16);
        /// First part of the name that this process has in `epilogue tasks`. The host adds the process id and a random
        /// part to this name. The default is the machine's name.
        #[arg(help_heading = "Durable tasks", env = "EPILOGUE_WORKER_ID", value_name = "NAME")]
        worker_id: String;
        /// Time after which a lease ends if its worker does not renew it. After the end of the lease, another worker
        /// runs the durable tasks.
        #[arg(help_heading = "Durable tasks", env = "EPILOGUE_VISIBILITY_TIMEOUT", value_name = "DURATION")]
        visibility_timeout: Duration = Duration::from_secs(30), least MOMENT;
        /// Format of the log: `text` for people, or `json` with one object on each line. With `json`, each line that a
        /// component prints to stderr becomes an event too.
        #[arg(help_heading = "Server", env = "EPILOGUE_LOG_FORMAT", value_name = "FORMAT")]
        log_format: LogFormat = LogFormat::Text;
        /// Filter for the log. `warn` hides the events of tasks that succeeded or were stored. `epilogue::task=off`
        /// hides all events of tasks. The host never logs `debug` and `trace` events of libraries, because such events
        /// could show passwords and headers.
        #[arg(help_heading = "Server", env = "EPILOGUE_LOG", value_name = "FILTER")]
        log: LogFilter = LogFilter::info();
        /// Address at which the host serves `/metrics` in Prometheus' format, `/healthz` and `/readyz`. By default, the
        /// host does not serve these paths.
        #[arg(help_heading = "Server", env = "EPILOGUE_METRICS_LISTEN", value_name = "ADDR")]
        metrics_listen: SocketAddr;
        /// Address of the dashboard. The option `--dashboard` without an address chooses a free port of 127.0.0.1. If
        /// other machines can reach the address, the dashboard needs `dashboard-token`. By default, the dashboard is on
        /// only with `--watch` on a terminal.
        #[arg(
            help_heading = "Server",
            env = "EPILOGUE_DASHBOARD", value_name = "ADDR",
            num_args = 0..=1, require_equals = true, default_missing_value = "127.0.0.1:0"
        )]
        dashboard: SocketAddr;
        /// Allows the dashboard to retry and to drop dead tasks.
        #[arg(
            help_heading = "Server",
            env = "EPILOGUE_DASHBOARD_ACTIONS", value_name = "BOOL",
            num_args = 0..=1, require_equals = true, default_missing_value = "true"
        )]
        dashboard_actions: bool = false;
        /// Password of the dashboard. With a password, open the dashboard at `/?token=TOKEN`.
        #[arg(
            help_heading = "Server",
            env = "EPILOGUE_DASHBOARD_TOKEN", value_name = "TOKEN",
            hide_env_values = true
        )]
        dashboard_token: String;
        /// Logs one event for each request after the request's tasks and teardown have ended. The event's target is
        /// `epilogue::access`.
        #[arg(
            help_heading = "Server",
            env = "EPILOGUE_ACCESS_LOG", value_name = "BOOL",
            num_args = 0..=1, require_equals = true, default_missing_value = "true"
        )]
        access_log: bool = false;
        /// The response header `x-request-id`. With `return`, the host sets the header to the request's id. With
        /// `trust`, the host returns the `x-request-id` of the request, or the request's id if the client sent no such
        /// header. With `off`, the host never sets the header. If the component has set the header, the host does not
        /// change the header.
        #[arg(help_heading = "Server", env = "EPILOGUE_REQUEST_ID", value_name = "MODE")]
        request_id: RequestId = RequestId::Return;
        /// The relation of a task's span to its request's span in exported traces. With `link`, a link connects the two
        /// spans, because the task begins after the response. With `child`, the task's span is a child of the request's
        /// span, for systems that cannot follow links.
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
/// The size of the arguments of a task without arguments, which are `[]`.
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

/// Returns the help of an option: its doc comment, and its default as a user would type it.
fn help(doc: &str, default: Option<String>) -> String {
    let doc = doc.trim().trim_end_matches('.');
    match default.as_deref() {
        // The help does not show the default `false`, because a flag is off by default.
        None | Some("false") => doc.to_owned(),
        Some(default) => format!("{doc} [default: {default}]"),
    }
}
