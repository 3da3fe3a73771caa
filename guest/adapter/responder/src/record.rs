//! What becomes of each task, told on stderr in the words of the native host's log (S3).

use alloc::format;
use alloc::string::{String, ToString as _};
use core::fmt::Write as _;

use epilogue_adapter_runtime::Shared;
use wit_bindgen::StreamWriter;

use crate::bindings::epilogue::adapter::drain::QueuedTask;
use crate::bindings::wasi::cli::stderr::write_via_stream;
use crate::bindings::wit_stream;
use crate::clock::{Nanoseconds, show};
use crate::identity::Identity;
use crate::settings::settings;

/// How important a line is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Off,
    Error,
    Warn,
    Info,
    Debug,
}

impl Level {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "off" => Some(Self::Off),
            "error" => Some(Self::Error),
            "warn" => Some(Self::Warn),
            "info" => Some(Self::Info),
            "debug" | "trace" => Some(Self::Debug),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Off => "",
            Self::Error => "ERROR",
            Self::Warn => " WARN",
            Self::Info => " INFO",
            Self::Debug => "DEBUG",
        }
    }
}

/// The stream to stderr, between two lines.
static STDERR: Shared<Option<StreamWriter<u8>>> = Shared::new(None);

/// Writes a line, in one piece: others write to stderr as well. The message is the adapter's own; a text of the guest's is a field.
pub(crate) async fn log(
    level: Level,
    target: &str,
    message: &'static str,
    fields: &[(&str, String)],
    error: Option<&String>,
) {
    if level > settings().log {
        return;
    }
    let mut line = format!("{} {target}:", level.name());
    if !message.is_empty() {
        line += " ";
        line += message;
    }
    for (name, value) in fields {
        _ = write!(line, " {name}={value}");
    }
    if let Some(error) = error {
        _ = write!(line, " error={}", quoted(error));
    }
    line += "\n";
    let mut stderr = STDERR.with(Option::take).unwrap_or_else(|| {
        let (writer, reader) = wit_stream::new();
        drop(write_via_stream(reader));
        writer
    });
    // Nobody reads it: then nobody misses it.
    _ = stderr.write_all(line.into_bytes()).await;
    STDERR.with(|kept| *kept = Some(stderr));
}

/// A text in quotes, as the native host's log has it.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted += "\\n",
            '\r' => quoted += "\\r",
            '\t' => quoted += "\\t",
            c if is_command(c) => _ = write!(quoted, "\\u{{{:x}}}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// Whether a character does something to a line or a terminal beside being seen, as the native host has it.
fn is_command(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// How a task ended. On a host that runs it as it runs any component, a trap ends all, and there is nobody to tell of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum TaskState {
    Succeeded,
    Failed,
    TimedOut,
    Skipped,
    Discarded,
    Cancelled,
    Abandoned,
}

impl TaskState {
    fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed-out",
            Self::Skipped => "skipped",
            Self::Discarded => "discarded",
            Self::Cancelled => "cancelled",
            Self::Abandoned => "abandoned",
        }
    }

    /// Whether the failure policy looks at it (S4): it was tried, and did not succeed.
    pub(crate) fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::TimedOut)
    }
}

/// Tells that an attempt has failed and another will follow.
pub(crate) async fn will_be_retried(
    request: &Identity,
    task: &QueuedTask,
    attempt: u32,
    pause: Nanoseconds,
    error: Option<&String>,
) {
    let fields = [
        ("request", quoted(request.id())),
        ("task", task.id.to_string()),
        ("name", quoted(&task.name)),
        ("attempt", attempt.to_string()),
        // Whole milliseconds are as much as anybody wants to read.
        ("retry_in", quoted(&show(pause / 1_000_000 * 1_000_000))),
    ];
    log(Level::Info, "epilogue::task", "will be retried", &fields, error).await;
}

/// One task's end.
pub(crate) struct TaskRecord {
    pub(crate) state: TaskState,
    /// The last attempt made; 0 if it never started.
    pub(crate) attempt: u32,
    pub(crate) elapsed: Nanoseconds,
    pub(crate) error: Option<String>,
}

impl TaskRecord {
    /// Makes the end known.
    pub(crate) async fn emit(&self, request: &Identity, task: &QueuedTask) {
        let fields = [
            ("request", quoted(request.id())),
            ("task", task.id.to_string()),
            ("name", quoted(&task.name)),
            ("state", quoted(self.state.name())),
            ("attempt", self.attempt.to_string()),
            ("elapsed_us", (self.elapsed / 1_000).to_string()),
        ];
        let level = if self.state == TaskState::Succeeded { Level::Info } else { Level::Warn };
        log(level, "epilogue::task", "", &fields, self.error.as_ref()).await;
    }
}
