//! Passes the timelines of requests to reports, such as the access log. Each report implements the trait [`Reader`].

use std::sync::Arc;
use std::time::Instant;

use crate::tasks::live::Live;
use crate::tasks::timeline::{Shared, Timeline};
use crate::telemetry::otlp::spans::Spans;

/// Gets the timelines of requests and batches. Serving threads and workers call these functions with the timeline
/// locked, so each function must be short and must not block.
pub(crate) trait Reader: Send + Sync {
    /// The host calls this function right before the handler of a request runs, or right before a batch runs.
    /// `traceparent` is the header that the guest gets.
    fn began(&self, timeline: &Timeline, traceparent: &str) {
        _ = (timeline, traceparent);
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
    fn ended(&self, timeline: &Timeline) {
        _ = timeline;
    }
}

/// Keeps timelines for the time after their requests.
pub(crate) trait Keeper: Send + Sync {
    /// The host calls this function last, when all readers have seen that a request or a batch has ended. The function
    /// must be short and must not block.
    fn keep(&self, ended: Arc<Shared>);
}

/// All readers of timelines in this process. If this process has no reader, the host records no timelines. Cloning this
/// value is cheap.
#[derive(Clone, Default)]
pub(crate) struct Readers {
    readers: Option<Arc<[Box<dyn Reader>]>>,
    /// Keeps the ended timelines. The value is `None` if the dashboard is off.
    keeper: Option<Arc<dyn Keeper>>,
    /// Makes all timelines, and finds those of requests and batches that have not ended.
    pub(crate) live: Live,
    /// Exports the spans of requests and tasks. The value is `None` if the host exports no traces.
    pub(crate) spans: Option<Arc<Spans>>,
}

impl Readers {
    /// Makes the readers of a process in which the operator has turned on at least one report. If a keeper exists, the
    /// timelines also contain the output of guests.
    pub(crate) fn new(
        readers: Vec<Box<dyn Reader>>,
        keeper: Option<Arc<dyn Keeper>>,
        spans: Option<Arc<Spans>>,
    ) -> Self {
        Self { readers: Some(readers.into()), keeper, live: Live::default(), spans }
    }

    /// Ends a timeline at the time `ended`, and passes it to all readers.
    pub(crate) fn end(&self, shared: &Arc<Shared>, ended: Instant) {
        {
            let mut timeline = shared.lock();
            timeline.end(ended);
            self.each(|reader| reader.ended(&timeline));
        }
        match &self.keeper {
            Some(keeper) => keeper.keep(shared.clone()),
            None => Live::recycle(shared.clone()),
        }
        // For a moment, the request is both live and kept, so that a person who looks at both sees the request.
        shared.set_live(false);
    }

    /// If the operator has turned on a report, begins the timeline of a request that has arrived at `now`, or of a
    /// batch that a worker starts at `now`. `now` must be the current time. `fill` adds the first facts.
    pub(crate) fn begin(&self, now: Instant, fill: impl FnOnce(&mut Timeline)) -> Option<Arc<Shared>> {
        self.readers.is_some().then(|| self.live.begin(now, self.keeper.is_some(), fill))
    }

    pub(crate) fn each(&self, call: impl Fn(&dyn Reader)) {
        self.readers.iter().flat_map(|readers| readers.iter()).for_each(|reader| call(&**reader));
    }
}
