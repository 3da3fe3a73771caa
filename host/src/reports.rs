//! Reports for operators: traces, metrics, the access log and the dashboard's data. The host makes all reports from the
//! timelines of requests and batches.

mod access_log;
mod conventions;
pub(crate) mod history;
mod log_places;
mod metrics;
mod names;
mod times;
pub(crate) mod totals;
mod traces;
pub(crate) mod view;

use std::sync::Arc;

use epilogue_manifest::settings::HostOptions;

use crate::tasks::live::Live;
use crate::tasks::readers::{Keeper, Reader, Readers};
use crate::telemetry::otlp::Otlp;
use history::History;

/// The reports that the operator has turned on.
#[derive(Clone, Default)]
pub(crate) struct Reports {
    pub(crate) readers: Readers,
    /// The requests and batches that have not ended. The value is `None` if no report is turned on.
    pub(crate) live: Option<Live>,
    /// The requests that have ended, which only the dashboard shows. The value is `None` if the dashboard is off.
    pub(crate) history: Option<History>,
}

impl Reports {
    /// Makes the reports that `options` turn on. `otlp` exports the traces and metrics.
    pub(crate) fn new(options: &HostOptions, otlp: &Otlp) -> Self {
        let mut readers: Vec<Box<dyn Reader>> = Vec::new();
        if options.access_log {
            readers.push(Box::new(access_log::AccessLog));
        }
        if options.metrics_listen.is_some() || otlp.has_metrics() {
            readers.push(Box::new(metrics::Metrics::default()));
        }
        if let Some(spans) = &otlp.spans {
            readers.push(Box::new(traces::Traces(spans.clone())));
        }
        if let Some(places) = otlp.places() {
            readers.push(Box::new(log_places::LogPlaces(places)));
        }
        if readers.is_empty() && options.dashboard.is_none() {
            return Self::default();
        }
        let history = options.dashboard.is_some().then(History::default);
        let keeper = history.clone().map(|history| Arc::new(history) as Arc<dyn Keeper>);
        let readers = Readers::new(readers, keeper, otlp.spans.clone());
        Self { live: Some(readers.live.clone()), readers, history }
    }
}
