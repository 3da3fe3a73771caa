//! What a host tells about its tasks: the events and metrics of this process, by request and by component.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Mutex, OnceLock};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// An event's fields, as text.
pub(crate) type Fields = BTreeMap<&'static str, String>;

static EVENTS: Mutex<Vec<Fields>> = Mutex::new(Vec::new());

/// Begins to listen, once for all tests of this process.
pub(crate) fn listen() -> &'static PrometheusHandle {
    static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();
    METRICS.get_or_init(|| {
        let subscriber = tracing_subscriber::registry().with(Listener);
        tracing::subscriber::set_global_default(subscriber).expect("nobody else should listen to events");
        PrometheusBuilder::new().install_recorder().expect("nobody else should listen to metrics")
    })
}

/// The events about a request's tasks so far, in order.
pub(crate) fn events(request: &str) -> Vec<Fields> {
    let events = EVENTS.lock().unwrap();
    events.iter().filter(|event| event.get("request").is_some_and(|id| id == request)).cloned().collect()
}

/// How many tasks of a component have ended, by state, as an operator reads it.
pub(crate) fn counts(component: &str) -> BTreeMap<String, u64> {
    let start = format!("epilogue_tasks_total{{component=\"{component}\",state=\"");
    let metrics = listen().render();
    let lines = metrics.lines().filter_map(|line| line.strip_prefix(&start)?.split_once("\"} "));
    lines.map(|(state, count)| (state.to_owned(), count.parse().expect("a count"))).collect()
}

struct Listener;

impl<S: Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // What is logged in detail only is not what operators see.
        if event.metadata().target() == "epilogue::task" && *event.metadata().level() <= Level::INFO {
            let mut fields = Read(Fields::new());
            event.record(&mut fields);
            EVENTS.lock().unwrap().push(fields.0);
        }
    }
}

struct Read(Fields);

impl Visit for Read {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}
