//! Writes the host's log, which consists of events on stderr.
//!
//! A log event can contain names, errors and addresses that guests and clients choose. In a text log, the formatter
//! `Fields` escapes the names, errors and addresses, so that none of them can begin a new line or control a terminal.
//! In a JSON log, the names, errors and addresses are JSON strings.

use std::fmt::{self, Write};
use std::io::{self, IsTerminal as _};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use anyhow::Context as _;
use epilogue_manifest::settings::HostOptions;
use epilogue_manifest::values::{LogFormat, Value as _};
use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Level, Metadata};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{self as format, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, registry};
use uuid::Uuid;

use crate::telemetry::otlp::Bridge;
use crate::telemetry::output::Events;
use crate::telemetry::timestamp::timestamp;

/// True if each line on stderr must be a JSON object.
static JSON: AtomicBool = AtomicBool::new(false);

/// Sets the format of the lines on stderr that report errors. The caller may call this function before [`init`].
pub(crate) fn set_format(format: LogFormat) {
    JSON.store(format == LogFormat::Json, Relaxed);
}

/// Starts the log: from now on, the host writes events to stderr, and passes the events to `bridge`. On stdout, the
/// host writes only the output of guests and the addresses that the host listens on.
pub(crate) fn init(options: &HostOptions, bridge: Option<Bridge>) -> anyhow::Result<()> {
    set_format(options.log_format);
    let filter = EnvFilter::try_new(options.log.show()).context("cannot log")?;
    let registry = registry().with(filter).with(filter_fn(may_be_logged)).with(bridge);
    // If an event cannot be written, the event is lost. By default, the library would report this on stderr, and this
    // report would panic.
    let events = format::layer().with_writer(|| Events).log_internal_errors(false);
    match options.log_format {
        LogFormat::Text => registry.with(events.fmt_fields(Fields).with_ansi(io::stderr().is_terminal())).init(),
        LogFormat::Json => {
            let events = events.json().flatten_event(true).with_current_span(false).with_span_list(false);
            registry.with(events).init();
            panic::set_hook(Box::new(|panic| write_line("epilogue::panic", &panic.to_string())));
        }
    }
    Ok(())
}

/// Writes to stderr why a command has failed, in the format of the log.
pub(crate) fn fail(error: &anyhow::Error) {
    if JSON.load(Relaxed) {
        write_line("epilogue", &format!("{error:#}"));
    } else {
        // `eprintln!` would panic if stderr is closed, and would block if stderr is full.
        _ = io::Write::write_all(&mut Events, format!("Error: {error:#}\n").as_bytes());
    }
}

/// Writes a warning to stderr, as plain text. Only commands that keep no log call this function.
pub(crate) fn warn(warning: &str) {
    _ = io::Write::write_all(&mut Events, format!("Warning: {warning}\n").as_bytes());
}

/// Reports whether the log may contain an event. At the levels `debug` and `trace`, the log contains no events of
/// libraries, because these events can contain secrets, such as passwords in URLs and clients' headers. At all levels,
/// the log contains no events of the library `h2` (HTTP/2). A client can make this library log any number of warnings.
fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    target.starts_with("epilogue") || *metadata.level() <= Level::INFO && target != "h2" && !target.starts_with("h2::")
}

/// Writes an error to stderr as one line of JSON. The log's filter (`--log`) does not apply to this line.
fn write_line(target: &str, message: &str) {
    #[derive(Serialize)]
    struct Event<'a> {
        timestamp: String,
        level: &'static str,
        message: &'a str,
        target: &'a str,
    }
    if let Ok(mut line) = serde_json::to_vec(&Event { timestamp: timestamp(), level: "ERROR", message, target }) {
        line.push(b'\n');
        _ = io::Write::write_all(&mut Events, &line);
    }
}

/// Writes an event's fields as text: first the message, and then each further field as `name=value`. Values that are
/// texts are in quotes.
///
/// If the host has started the request's trace, the id of the trace is the id of the request without hyphens. The text
/// then contains only the request's id and no `trace_id`, because two long ids make a line hard to read.
struct Fields;

impl<'writer> FormatFields<'writer> for Fields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut text = Text { writer, begun: false, request: None, result: Ok(()) };
        fields.record(&mut text);
        text.result
    }
}

struct Text<'writer> {
    writer: Writer<'writer>,
    begun: bool,
    /// The event's field `request`, if it is a UUID.
    request: Option<Uuid>,
    result: fmt::Result,
}

impl Text<'_> {
    fn write(&mut self, name: &str, value: &dyn fmt::Debug) -> fmt::Result {
        if self.begun {
            self.writer.write_char(' ')?;
        }
        self.begun = true;
        match name.trim_start_matches("r#") {
            "message" => {}
            name if self.writer.has_ansi_escapes() => write!(self.writer, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m")?,
            name => write!(self.writer, "{name}=")?,
        }
        write!(Escaped(&mut self.writer), "{value:?}")
    }
}

impl Visit for Text<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.record_debug(field, &format_args!("{value}")),
            "trace_id" if self.request.is_some_and(|id| is_same(&id, value)) => {}
            "request" => {
                self.request = Uuid::try_parse(value).ok();
                self.record_debug(field, &value);
            }
            _ => self.record_debug(field, &value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Fields that begin with `log.` come from an event of the crate `log`. The event's metadata already contains
        // these fields.
        if self.result.is_ok() && !field.name().starts_with("log.") {
            self.result = self.write(field.name(), value);
        }
    }
}

/// Reports whether `trace_id` is the request's id without hyphens.
fn is_same(request: &Uuid, trace_id: &str) -> bool {
    trace_id == &*request.simple().encode_lower(&mut Uuid::encode_buffer())
}

/// A writer that escapes the characters that could begin a new line or control a terminal.
pub(crate) struct Escaped<W>(pub(crate) W);

impl<W: Write> Write for Escaped<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // This fast path is enough for nearly all texts, which contain only these characters.
        if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return self.0.write_str(text);
        }
        let mut rest = text;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| is_command(*c)) {
            self.0.write_str(&rest[..at])?;
            write!(self.0, "{}", c.escape_debug())?;
            rest = &rest[at + c.len_utf8()..];
        }
        self.0.write_str(rest)
    }
}

/// Reports whether a character could begin a new line or control a terminal. These characters are line ends, control
/// characters, and characters that change the direction of the text.
pub(crate) fn is_command(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::subscriber::with_default;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, event: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(event);
            Ok(event.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Returns the log lines of events that contain `text` in each part of an event.
    fn logged(text: &str) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let events = format::layer().with_writer(move || writer.clone()).with_ansi(false).fmt_fields(Fields);
        with_default(registry().with(events), || {
            let _span = tracing::info_span!("task", name = text).entered();
            tracing::info!(a = text, b = %text, c = ?text, d = Some(text), "said {text}");
            tracing::info!("{text}");
        });
        String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn no_text_in_an_event_begins_a_line_or_commands_a_terminal() {
        let commands: Vec<char> = (char::MIN..=char::MAX).filter(|c| is_command(*c)).collect();
        assert!(commands.len() > 65, "{commands:?}");
        for c in commands {
            let lines = logged(&format!("x{c}INFO y"));
            assert_eq!(lines.matches(is_command).collect::<String>(), "\n\n", "{lines:?}");
            assert_eq!(lines.matches(&format!("x{}INFO y", c.escape_debug())).count(), 8, "{lines:?}");
        }
    }

    #[test]
    fn a_text_is_in_quotes_and_the_message_as_it_is() {
        let lines = logged(r#"a "b" ü" state="succeeded"#);
        let quoted = r#""a \"b\" ü\" state=\"succeeded""#;
        let expected = format!(r#"said a "b" ü" state="succeeded a={quoted} b=a "b" ü" state="succeeded c={quoted}"#);
        assert!(lines.contains(&expected), "{lines}");
        assert!(lines.contains(&format!("task{{name={quoted}}}")), "{lines}");
    }

    #[test]
    fn the_id_of_a_trace_is_written_unless_it_is_the_id_of_the_request() {
        let write = |request: &str, trace_id: &str| {
            let kept = Kept::default();
            let writer = kept.clone();
            let events = format::layer().with_writer(move || writer.clone()).with_ansi(false).fmt_fields(Fields);
            with_default(registry().with(events), || tracing::info!(request, trace_id, "told"));
            String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
        };
        let request = "019ac9a5-7a7c-7d42-b58d-0123456789ab";
        let line = write(request, "019ac9a57a7c7d42b58d0123456789ab");
        assert!(line.ends_with(&format!("told request=\"{request}\"\n")), "{line}");
        for other in ["0af7651916cd43dd8448eb211c80319c", ""] {
            let line = write(request, other);
            assert!(line.ends_with(&format!("told request=\"{request}\" trace_id=\"{other}\"\n")), "{line}");
        }
    }

    #[test]
    fn libraries_are_heard_from_info_on() {
        assert!(may_be_logged(&metadata("epilogue::task", Level::TRACE)));
        assert!(may_be_logged(&metadata("epilogue_engines::nats", Level::DEBUG)));
        assert!(may_be_logged(&metadata("async_nats", Level::INFO)));
        assert!(!may_be_logged(&metadata("async_nats::connector", Level::DEBUG)));
        assert!(!may_be_logged(&metadata("h2::proto::ping_pong", Level::WARN)));
    }

    fn metadata(target: &'static str, level: Level) -> Metadata<'static> {
        struct Nobody;
        impl tracing::callsite::Callsite for Nobody {
            fn set_interest(&self, _: tracing::subscriber::Interest) {}
            fn metadata(&self) -> &Metadata<'_> {
                unreachable!("nobody asks")
            }
        }
        static NOBODY: Nobody = Nobody;
        let fields = tracing::field::FieldSet::new(&[], tracing::callsite::Identifier(&NOBODY));
        Metadata::new("event", target, level, None, None, None, fields, tracing::metadata::Kind::EVENT)
    }
}
