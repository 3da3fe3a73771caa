//! Who reads the timelines of requests and batches.

use std::sync::Arc;

use crate::tasks::timeline::{Shared, Timeline};
use crate::telemetry::otlp::spans::Spans;

/// Someone who reads timelines. The calls come from serving threads, so they must be short and must not block.
pub(crate) trait Reader: Send + Sync {
    /// A request has an instance, and its handler is about to run. Or a batch is about to run.
    fn began(&self, timeline: &Arc<Shared>) {
        _ = timeline;
    }

    /// The host has answered without a component.
    fn answered(&self, timeline: &Timeline) {
        _ = timeline;
    }

    /// The response is sent, or has failed.
    fn sent(&self, timeline: &Timeline) {
        _ = timeline;
    }

    /// The request or the batch has ended, with all tasks and teardowns.
    fn ended(&self, timeline: &Arc<Shared>) {
        _ = timeline;
    }
}

/// All readers of the process. Cheap to clone. Without a reader, no timeline is recorded.
#[derive(Clone, Default)]
pub(crate) struct Readers {
    readers: Option<Arc<[Box<dyn Reader>]>>,
    /// Whether the timelines also have what guests print.
    pub(crate) want_output: bool,
    /// Where the spans of requests and tasks go. None if no traces are exported.
    pub(crate) spans: Option<Arc<Spans>>,
}

impl Readers {
    pub(crate) fn new(readers: Vec<Box<dyn Reader>>, want_output: bool, spans: Option<Arc<Spans>>) -> Self {
        Self { readers: (!readers.is_empty()).then(|| readers.into()), want_output, spans }
    }

    /// Whether there is any reader.
    pub(crate) fn any(&self) -> bool {
        self.readers.is_some()
    }

    pub(crate) fn each(&self, call: impl Fn(&dyn Reader)) {
        self.readers.iter().flat_map(|readers| readers.iter()).for_each(|reader| call(&**reader));
    }
}
