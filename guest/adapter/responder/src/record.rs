//! Writes the records of tasks as lines on stderr, with the same words as the native host's log (S3).

use alloc::format;
use alloc::string::{String, ToString as _};
use core::fmt::Write as _;
use core::time::Duration;

use epilogue_adapter_runtime::Shared;
use epilogue_rules::duration::Shown;
use epilogue_rules::state::TaskState;
use epilogue_rules::words;
use wit_bindgen::StreamWriter;

use crate::bindings::epilogue::adapter::drain::QueuedTask;
use crate::bindings::wasi::cli::stderr::write_via_stream;
use crate::bindings::wit_stream;
use crate::clock::Nanoseconds;
use crate::identity::Identity;
use crate::settings::settings;

/// The level of a line.
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

/// The stream to stderr, which stays open between two lines.
static STDERR: Shared<Option<StreamWriter<u8>>> = Shared::new(None);

/// Writes a line to stderr with one write, because the guest may write to stderr at the same time. `message` is the
/// adapter's own text. A text that the guest chose is a field.
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
    // An error means that stderr is closed, so the adapter ignores the error.
    _ = stderr.write_all(line.into_bytes()).await;
    STDERR.with(|kept| *kept = Some(stderr));
}

/// Returns a text in quotes, in the format of the native host's log.
pub(crate) fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// Logs that an attempt has failed and that the task will be retried.
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
        // Whole milliseconds are exact enough for readers of the log.
        ("retry_in", format!("\"{}\"", Shown(Duration::from_millis(pause / 1_000_000)))),
    ];
    log(Level::Info, "epilogue::task", words::WILL_BE_RETRIED, &fields, error).await;
}

/// The record of one task's end.
pub(crate) struct TaskRecord {
    pub(crate) state: TaskState,
    /// The number of the task's last attempt. The number is 0 if the task never started.
    pub(crate) attempt: u32,
    pub(crate) elapsed: Nanoseconds,
    pub(crate) error: Option<String>,
}

impl TaskRecord {
    /// Logs the task's end.
    pub(crate) async fn emit(&self, request: &Identity, task: &QueuedTask) {
        let fields = [
            ("request", quoted(request.id())),
            ("task", task.id.to_string()),
            ("name", quoted(&task.name)),
            ("state", quoted(self.state.as_str())),
            ("attempt", self.attempt.to_string()),
            ("elapsed_us", (self.elapsed / 1_000).to_string()),
        ];
        let level = if self.state == TaskState::Succeeded { Level::Info } else { Level::Warn };
        log(level, "epilogue::task", "", &fields, self.error.as_ref()).await;
    }
}
