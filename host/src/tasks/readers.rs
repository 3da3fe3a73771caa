//! Passes the timelines of requests to reports, such as the access log. Each report implements the trait [`Reader`].

use std::sync::Arc;

use crate::tasks::timeline::{Shared, Timeline};
use crate::telemetry::otlp::spans::Spans;

/// Gets the timelines of requests and batches. Serving threads and workers call these functions, so each function must
/// be short and must not block.
pub(crate) trait Reader: Send + Sync {
    /// The host calls this function right before the handler of a request runs, or right before a batch runs.
    fn began(&self, timeline: &Arc<Shared>) {
        _ = timeline;
    }

    /// The host calls this function when the host has answered a request itself, without a component.
    fn answered(&self, timeline: &Timeline) {
        _ = timeline;
    }

    /// The host calls this function when the response is sent or has failed.
    fn sent(&self, timeline: &Timeline) {
        _ = timeline;
    }

    /// The host calls this function when a request or a batch has ended, including all tasks and teardowns.
    fn ended(&self, timeline: &Arc<Shared>) {
        _ = timeline;
    }
}

/// All readers of timelines in this process. If this process has no reader, the host records no timelines. Cloning this
/// value is cheap.
#[derive(Clone, Default)]
pub(crate) struct Readers {
    readers: Option<Arc<[Box<dyn Reader>]>>,
    /// True if the timelines also contain the output of guests.
    pub(crate) want_output: bool,
    /// Exports the spans of requests and tasks. The value is `None` if the host exports no traces.
    pub(crate) spans: Option<Arc<Spans>>,
}

impl Readers {
    pub(crate) fn new(readers: Vec<Box<dyn Reader>>, want_output: bool, spans: Option<Arc<Spans>>) -> Self {
        Self { readers: (!readers.is_empty()).then(|| readers.into()), want_output, spans }
    }

    /// Reports whether at least one reader exists.
    pub(crate) fn any(&self) -> bool {
        self.readers.is_some()
    }

    pub(crate) fn each(&self, call: impl Fn(&dyn Reader)) {
        self.readers.iter().flat_map(|readers| readers.iter()).for_each(|reader| call(&**reader));
    }
}
