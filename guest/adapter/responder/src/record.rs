//! Logs how each task ended: one line on stderr for each task, with the same words as the log of Epilogue's host (S3).

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

/// The log level of a line.
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

/// Writes a line to stderr in a single write, so that output which the guest writes at the same time does not split the
/// line. `message` must be a fixed text of the adapter. If a text comes from the guest, pass the text as a field.
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
    // If the write fails, stderr is closed. The adapter ignores this error, because it has no other place for its log.
    _ = stderr.write_all(line.into_bytes()).await;
    STDERR.with(|kept| *kept = Some(stderr));
}

/// Returns a text in quotes, in the same format as the log of Epilogue's host.
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
        // The log shows whole milliseconds, which is exact enough for readers.
        ("retry_in", format!("\"{}\"", Shown(Duration::from_millis(pause / 1_000_000)))),
    ];
    log(Level::Info, "epilogue::task", words::WILL_BE_RETRIED, &fields, error).await;
}

/// The record of how one task ended.
pub(crate) struct TaskRecord {
    pub(crate) state: TaskState,
    /// The number of the task's last attempt. The number is 0 if the task never started.
    pub(crate) attempt: u32,
    pub(crate) elapsed: Nanoseconds,
    pub(crate) error: Option<String>,
}

impl TaskRecord {
    /// Logs how the task ended.
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
