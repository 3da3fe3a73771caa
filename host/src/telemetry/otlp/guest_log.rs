//! Sends the output of guests to the collector: one log record for each line. Each record names the trace, and the span
//! of the request or the task that has printed the line.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, Severity};
use opentelemetry_sdk::logs::SdkLogger;

use super::losses::Losses;
use crate::telemetry::guest_lines::{Line, LineSplitter, Origin};

/// Sends the output of all guests to the collector, line by line. All clones of this value use the same collector.
#[derive(Debug, Clone)]
pub(crate) struct GuestLog {
    pub(super) logger: SdkLogger,
    pub(super) losses: Arc<Losses>,
}

impl GuestLog {
    /// Makes the exporter for one output stream of an instance of `component`. `stream` is `stdout` or `stderr`.
    pub(crate) fn of(&self, component: &str, stream: &'static str) -> GuestStream {
        let splitter = LineSplitter::new(component, stream);
        GuestStream(Arc::new(Mutex::new(Open { log: self.clone(), splitter })))
    }

    fn send(&self, line: &Line<'_>) {
        if !self.losses.has_room_for_guest() {
            return;
        }
        let mut record = self.logger.create_log_record();
        record.set_target("epilogue::guest");
        record.set_severity_number(Severity::Info);
        record.set_severity_text("INFO");
        record.set_body(AnyValue::from(line.text.to_owned()));
        record.add_attribute("component", line.component.to_owned());
        record.add_attribute("log.iostream", line.stream);
        if line.continues {
            record.add_attribute("continues", true);
        }
        if let Some(origin) = line.origin {
            record.add_attribute("request", origin.request.to_string());
            if let Some(task) = origin.task {
                record.add_attribute("task", i64::try_from(task).unwrap_or(i64::MAX));
            }
            if let Some(trace) = &origin.trace {
                let span = origin.task.map_or_else(|| trace.own.clone(), |task| trace.task(task));
                record.set_trace_context(span.trace_id(), span.span_id(), Some(span.trace_flags()));
            }
        }
        self.logger.emit(record);
    }
}

/// One output stream of one instance. Each line of the stream becomes a log record.
#[derive(Debug, Clone)]
pub(crate) struct GuestStream(Arc<Mutex<Open>>);

#[derive(Debug)]
struct Open {
    log: GuestLog,
    splitter: LineSplitter,
}

impl GuestStream {
    /// Adds bytes that the guest has printed, and sends each line that is now complete.
    pub(crate) fn add(&self, bytes: &[u8]) {
        let Open { log, splitter } = &mut *self.open();
        splitter.add(bytes, |line| log.send(&line));
    }

    /// From now on, the guest's output belongs to the request and the task in `origin`.
    pub(crate) fn belong_to(&self, origin: Option<Arc<Origin>>) {
        let Open { log, splitter } = &mut *self.open();
        splitter.belong_to(origin, |line| log.send(&line));
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Self { log, splitter } = self;
        splitter.end(|line| log.send(&line));
    }
}
