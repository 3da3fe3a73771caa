//! What an operator can set. Each setting is written down once, below: its name, meaning, variable, type and default.
//!
//! From that come a resolved struct, and an overlay of the same settings in which each may be missing. An overlay is
//! filled by the command line and its `EPILOGUE_…` variables, by a component's `tool.epilogue` table, or by the
//! application's; laid over each other in that order they resolve to what holds.

#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use epilogue_rules::backoff::Backoff;

use crate::values::{LogFilter, LogFormat, OnFailure, Size, Value};

macro_rules! settings {
    (
        $(#[doc = $about:literal])+
        pub struct $resolved:ident;
        $(#[doc = $overlay_about:literal])+
        pub struct $overlay:ident {
            $(
                $(#[doc = $doc:literal])+
                #[arg($($arg:tt)*)]
                $name:ident: $type:ty $(= $default:expr)? $(, least $least:expr)?;
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $resolved {
            $($(#[doc = $doc])+ pub $name: resolved_type!($type $(, $default)?),)+
        }

        impl Default for $resolved {
            fn default() -> Self {
                $overlay::default().resolve()
            }
        }

        impl $resolved {
            /// The names of the settings that are not what they are in `other`.
            pub fn differing(&self, other: &Self) -> Vec<String> {
                let differing = [$((stringify!($name), self.$name != other.$name)),+];
                differing.iter().filter(|(_, differs)| *differs).map(|(name, _)| name.replace('_', "-")).collect()
            }
        }

        $(#[doc = $overlay_about])+
        #[derive(Clone, Debug, Default, PartialEq, clap::Args)]
        pub struct $overlay {
            $(
                $(#[doc = $doc])+
                #[arg(
                    long,
                    value_parser = parser!($type $(, $least)?),
                    help = help(concat!($($doc),+), None $(.or(Some(<$type as Value>::show(&$default))))?),
                    $($arg)*
                )]
                pub $name: Option<$type>,
            )+
        }

        impl $overlay {
            /// The settings' names as a manifest writes them.
            pub fn names() -> Vec<String> {
                vec![$(stringify!($name).replace('_', "-")),+]
            }

            /// Sets what a manifest calls `name`. False if there is no such setting, an error if it can't have this
            /// value.
            pub fn set(&mut self, name: &str, value: &str) -> Result<bool, String> {
                $(
                    if name.replace('-', "_") == stringify!($name) && !name.contains('_') {
                        self.$name = Some(parser!($type $(, $least)?)(value)?);
                        return Ok(true);
                    }
                )+
                Ok(false)
            }

            /// These settings and, where there is none, those of `below`.
            pub fn over(self, below: Self) -> Self {
                Self { $($name: self.$name.or(below.$name)),+ }
            }

            /// These settings and, where there is none, the default.
            pub fn resolve(self) -> $resolved {
                $resolved { $($name: resolved_value!(self.$name $(, $default)?)),+ }
            }
        }
    };
}

macro_rules! parser {
    ($type:ty) => {
        <$type as Value>::parse
    };
    ($type:ty, $least:expr) => {
        at_least::<$type>($least)
    };
}

macro_rules! resolved_type {
    ($type:ty) => { Option<$type> };
    ($type:ty, $default:expr) => { $type };
}

macro_rules! resolved_value {
    ($value:expr) => {
        $value
    };
    ($value:expr, $default:expr) => {
        $value.unwrap_or($default)
    };
}

settings! {
    /// How the host treats one component.
    pub struct Settings;
    /// Settings of a component that may be missing; a manifest's or a command line's.
    pub struct SettingsOverlay {
        /// Requests that one instance serves, one at a time, before it is dropped; 1 isolates every request.
        #[arg(env = "EPILOGUE_REUSE", value_name = "COUNT")]
        reuse: NonZeroU32 = nonzero_u32(128);
        /// What a failed task means for those after it, unless the guest says otherwise: `stop` skips them,
        /// `continue` runs them.
        #[arg(env = "EPILOGUE_ON_FAILURE", value_name = "POLICY")]
        on_failure: OnFailure = OnFailure::Stop;
        /// Time until a handler has returned its response's head; the body may take longer.
        #[arg(env = "EPILOGUE_REQUEST_TIMEOUT", value_name = "DURATION")]
        request_timeout: Duration = Duration::from_secs(30), least MOMENT;
        /// Time that a client waits for more of a response's body. Then the guest is stopped, and the response broken off.
        #[arg(env = "EPILOGUE_RESPONSE_TIMEOUT", value_name = "DURATION")]
        response_timeout: Duration = Duration::from_secs(60), least MOMENT;
        /// Time for one task, unless it was enqueued with its own.
        #[arg(env = "EPILOGUE_TASK_TIMEOUT", value_name = "DURATION")]
        task_timeout: Duration = Duration::from_secs(30), least MOMENT;
        /// Time for all tasks of one request together.
        #[arg(env = "EPILOGUE_DRAIN_TIMEOUT", value_name = "DURATION")]
        drain_timeout: Duration = Duration::from_secs(300), least MOMENT;
        /// Time for closing one request's scope after its last task.
        #[arg(env = "EPILOGUE_TEARDOWN_TIMEOUT", value_name = "DURATION")]
        teardown_timeout: Duration = Duration::from_secs(30), least MOMENT;
        /// Tasks that one request may enqueue.
        #[arg(env = "EPILOGUE_MAX_TASKS", value_name = "COUNT")]
        max_tasks: u32 = 1_000;
        /// Size of one task's arguments.
        #[arg(env = "EPILOGUE_MAX_TASK_ARGS", value_name = "SIZE")]
        max_task_args: Size = Size::mebibytes(1), least NO_ARGUMENTS;
        /// Size of the arguments of all tasks of one request together.
        #[arg(env = "EPILOGUE_MAX_REQUEST_ARGS", value_name = "SIZE")]
        max_request_args: Size = Size::mebibytes(16), least NO_ARGUMENTS;
        /// Size of a request's body; a larger one is refused, or ends in an error for the guest. By default there is no limit:
        /// bodies are streams.
        #[arg(env = "EPILOGUE_MAX_BODY_SIZE", value_name = "SIZE")]
        max_body_size: Size;
        /// Time that a handler waits for the next bytes of its request's body.
        #[arg(env = "EPILOGUE_BODY_TIMEOUT", value_name = "DURATION")]
        body_timeout: Duration = Duration::from_secs(60), least MOMENT;
        /// Makes all tasks durable that can be stored; closures, and tasks that end with their client, stay in memory. Needs the
        /// option engine.
        #[arg(
            env = "EPILOGUE_DURABLE", value_name = "BOOL",
            num_args = 0..=1, require_equals = true, default_missing_value = "true"
        )]
        durable: bool = false;
        /// How often a durable task is tried that was enqueued without saying. The end of its host amid it counts too.
        #[arg(env = "EPILOGUE_DURABLE_ATTEMPTS", value_name = "COUNT")]
        durable_attempts: NonZeroU32 = nonzero_u32(10);
        /// Time that a durable task waits after its first failed attempt. It doubles with each further one.
        #[arg(env = "EPILOGUE_DURABLE_BACKOFF", value_name = "DURATION")]
        durable_backoff: Duration = Backoff::DURABLE.first;
        /// The longest time that a durable task waits between two attempts.
        #[arg(env = "EPILOGUE_DURABLE_MAX_BACKOFF", value_name = "DURATION")]
        durable_max_backoff: Duration = Backoff::DURABLE.max;
        /// Generations of durable tasks after a request: how often a durable task may have been added by a durable task, that one
        /// by another, and so on. The next one is refused.
        #[arg(env = "EPILOGUE_MAX_GENERATIONS", value_name = "COUNT")]
        max_generations: u32 = 100;
        /// Requests whose durable tasks may wait or run in the task engine, about. While there are more, a further one's are refused,
        /// and it is answered 503.
        #[arg(env = "EPILOGUE_MAX_BACKLOG", value_name = "COUNT")]
        max_backlog: u64 = 100_000;
        /// Tells each request how it was reached, in the headers that Spin sets: `spin-path-info` and six others, and
        /// `spin-path-match-…` for a route's parameters. Without them there is room for a tenth more short requests. Then no such
        /// header reaches the component, from a client neither.
        #[arg(
            env = "EPILOGUE_SPIN_HEADERS", value_name = "BOOL",
            num_args = 0..=1, require_equals = true, default_missing_value = "true"
        )]
        spin_headers: bool = true;
        /// Memory of one instance, at least what it starts with.
        #[arg(env = "EPILOGUE_MEMORY", value_name = "SIZE")]
        memory: Size = Size::mebibytes(128), least PAGE;
        /// Lets components write to their files: to a copy in $TMPDIR, which is deleted when the host ends in order.
        #[arg(
            env = "EPILOGUE_ALLOW_TRANSIENT_WRITE", value_name = "BOOL",
            num_args = 0..=1, require_equals = true, default_missing_value = "true"
        )]
        allow_transient_write: bool = false;
    }
}

settings! {
    /// What concerns the host as a whole.
    pub struct HostOptions;
    /// Options of the host that may be missing; a manifest's or a command line's.
    pub struct HostOverlay {
        /// Address and port to listen on; port 0 picks a free one.
        #[arg(env = "EPILOGUE_LISTEN", value_name = "ADDR")]
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 3000));
        /// Certificate chain to serve https with, as a PEM file; goes with the key.
        #[arg(env = "EPILOGUE_TLS_CERT", value_name = "FILE")]
        tls_cert: PathBuf;
        /// Private key of the certificate, as a PEM file.
        #[arg(env = "EPILOGUE_TLS_KEY", value_name = "FILE")]
        tls_key: PathBuf;
        /// Time that running requests and tasks get to end by themselves when the host is told to stop.
        #[arg(env = "EPILOGUE_GRACE", value_name = "DURATION")]
        grace: Duration = Duration::from_secs(30);
        /// Threads that serve requests, each with its own instances; by default as many as there are cores.
        #[arg(env = "EPILOGUE_WORKERS", value_name = "COUNT")]
        workers: NonZeroUsize = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        /// Connections that may be open at once. When there are so many, the next is accepted once one has closed.
        #[arg(env = "EPILOGUE_MAX_CONNECTIONS", value_name = "COUNT")]
        max_connections: NonZeroUsize = nonzero_usize(10_000);
        /// Requests that may be at work at once, each until its response is sent. A further one is answered 503.
        #[arg(env = "EPILOGUE_MAX_REQUESTS", value_name = "COUNT")]
        max_requests: NonZeroUsize = nonzero_usize(1_000);
        /// Requests whose tasks may be running at once, each until its teardown. While there are so many, no task is refused
        /// but new requests are answered 503.
        #[arg(env = "EPILOGUE_MAX_DRAINING", value_name = "COUNT")]
        max_draining: NonZeroUsize = nonzero_usize(10_000);
        /// Time that a guest which computes may wait for its turn on its thread, such as 10ms. While they wait for longer, new
        /// requests are answered 503 until they do not; eight for each thread are always let in. By default no request is
        /// refused for that.
        #[arg(env = "EPILOGUE_MAX_LAG", value_name = "DURATION")]
        max_lag: Duration, least MOMENT;
        /// Instances that may exist at once; up to half of them wait for requests. A request that would need another is
        /// answered 503, and a task that needs another waits.
        #[arg(env = "EPILOGUE_MAX_INSTANCES", value_name = "COUNT")]
        max_instances: NonZeroU32 = nonzero_u32(11_000);
        /// HTTP/2 streams that one connection may have open at once.
        #[arg(env = "EPILOGUE_MAX_STREAMS", value_name = "COUNT")]
        max_streams: NonZeroU32 = nonzero_u32(200);
        /// Size of a request's head, at least 8KiB. A larger one is answered 431, as is one of more than 100 headers on HTTP/1.
        #[arg(env = "EPILOGUE_MAX_HEADER_SIZE", value_name = "SIZE")]
        max_header_size: Size = Size::kibibytes(64), least MIN_HEADER_SIZE;
        /// Time for the next request's whole head to come, on a connection that has no request at work.
        #[arg(env = "EPILOGUE_IDLE_TIMEOUT", value_name = "DURATION")]
        idle_timeout: Duration = Duration::from_secs(30), least MOMENT;
        /// Time for a client to take more of a response. Then the client counts as gone.
        #[arg(env = "EPILOGUE_SEND_TIMEOUT", value_name = "DURATION")]
        send_timeout: Duration = Duration::from_secs(60), least MOMENT;
        /// Where durable tasks are stored: `sqlite:PATH`, `redis://HOST`, `rediss://HOST`, `nats://HOST` or `tls://HOST`. By default
        /// nowhere, and such tasks are refused.
        #[arg(env = "EPILOGUE_ENGINE", value_name = "URL", hide_env_values = true)]
        engine: String;
        /// Runs durable tasks beside the requests, as `epilogue worker` does without them.
        #[arg(
            env = "EPILOGUE_WORK", value_name = "BOOL",
            num_args = 0..=1, require_equals = true, default_missing_value = "true"
        )]
        work: bool = false;
        /// Requests whose durable tasks this process runs at once.
        #[arg(env = "EPILOGUE_CONCURRENCY", value_name = "COUNT")]
        concurrency: NonZeroUsize = nonzero_usize(16);
        /// The name of this process among the workers, for people; by default the machine's.
        #[arg(env = "EPILOGUE_WORKER_ID", value_name = "NAME")]
        worker_id: String;
        /// Time after which the durable tasks of a worker that is silent are another's.
        #[arg(env = "EPILOGUE_VISIBILITY_TIMEOUT", value_name = "DURATION")]
        visibility_timeout: Duration = Duration::from_secs(30), least MOMENT;
        /// How log events are written: `text` for people, `json` for machines, one object a line. With `json`, each line that a
        /// component prints to stderr is an event too.
        #[arg(env = "EPILOGUE_LOG_FORMAT", value_name = "FORMAT")]
        log_format: LogFormat = LogFormat::Text;
        /// What is logged, as a filter: `warn` leaves out the events of tasks that succeeded or were stored, `epilogue::task=off`
        /// those of all tasks. Libraries are never logged below `info`: their details show passwords and headers.
        #[arg(env = "EPILOGUE_LOG", value_name = "FILTER")]
        log: LogFilter = LogFilter::info();
        /// Address to serve `/metrics` on, in Prometheus' format, and `/healthz` and `/readyz`; by default they are not served.
        #[arg(env = "EPILOGUE_METRICS_LISTEN", value_name = "ADDR")]
        metrics_listen: SocketAddr;
        /// Silences what components print to stdout and stderr.
        #[arg(
            short, env = "EPILOGUE_QUIET", value_name = "BOOL",
            num_args = 0..=1, require_equals = true, default_missing_value = "true"
        )]
        quiet: bool = false;
    }
}

impl HostOptions {
    /// An error if the options contradict each other.
    pub fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            !self.work || self.engine.is_some(),
            "work is set but engine is not: there is nothing to work on"
        );
        Ok(())
    }

    /// The certificate's and the key's file if https is asked for; an error if only one of the two is there.
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

/// The least header size that hyper can be held to.
const MIN_HEADER_SIZE: Size = Size::kibibytes(8);
/// The least time for anything. With none nothing would ever be in time.
const MOMENT: Duration = Duration::from_millis(1);
/// The size of the arguments of a task without arguments, `[]`.
const NO_ARGUMENTS: Size = Size::new(2);
/// The unit of WebAssembly's memory.
pub const PAGE: Size = Size::kibibytes(64);

/// Reads a value that must not be less than this.
fn at_least<T: Value + PartialOrd + Clone>(least: T) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| match T::parse(text)? {
        value if value < least => Err(format!("{text:?} is too small: the least is {}", least.show())),
        value => Ok(value),
    }
}

/// The number, for a setting that cannot be zero; 1 instead of zero.
const fn nonzero_u32(number: u32) -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(number.saturating_sub(1))
}

/// The number, for a setting that cannot be zero; 1 instead of zero.
const fn nonzero_usize(number: usize) -> NonZeroUsize {
    NonZeroUsize::MIN.saturating_add(number.saturating_sub(1))
}

/// An option's help: its doc comment, and its default as one would type it.
fn help(doc: &str, default: Option<String>) -> String {
    let doc = doc.trim().trim_end_matches('.');
    match default.as_deref() {
        // What a flag does not do unless it is given needs no saying.
        None | Some("false") => doc.to_owned(),
        Some(default) => format!("{doc} [default: {default}]"),
    }
}
