//! Collects the events and metrics of this process about tasks.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Mutex, OnceLock};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

/// An event's fields, as text.
pub(crate) type Fields = BTreeMap<&'static str, String>;

static EVENTS: Mutex<Vec<Fields>> = Mutex::new(Vec::new());
static PANICS: Mutex<Vec<Panic>> = Mutex::new(Vec::new());

/// The place where the host is to panic, once: at a task's beginning or at its end.
#[derive(Debug, PartialEq)]
pub(crate) enum Panic {
    AtBegin { request: String, task: &'static str },
    AtEnd { request: String, task: &'static str },
}

/// Lets the host panic at a place. By itself the host never panics.
pub(crate) fn panic_at(place: Panic) {
    PANICS.lock().unwrap().push(place);
}

fn panic_if_asked(is_here: impl Fn(&Panic) -> bool) {
    let mut panics = PANICS.lock().unwrap();
    let asked = panics.iter().position(is_here).map(|here| panics.remove(here));
    drop(panics);
    assert_eq!(asked, None, "on purpose");
}

/// Begins to listen, once for all tests of this process.
pub(crate) fn listen() -> &'static PrometheusHandle {
    static LISTENING: OnceLock<()> = OnceLock::new();
    LISTENING.get_or_init(|| {
        let subscriber = tracing_subscriber::registry().with(Listener);
        tracing::subscriber::set_global_default(subscriber).expect("nobody else should listen to events");
    });
    metrics()
}

fn metrics() -> &'static PrometheusHandle {
    static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();
    METRICS.get_or_init(|| PrometheusBuilder::new().install_recorder().expect("nobody else should listen to metrics"))
}

/// The events about a request's tasks so far, in order.
pub(crate) fn events(request: &str) -> Vec<Fields> {
    let events = EVENTS.lock().unwrap();
    events.iter().filter(|event| event.get("request").is_some_and(|id| id == request)).cloned().collect()
}

/// How many tasks of a component have ended, by state, as an operator reads it.
pub(crate) fn counts(component: &str) -> BTreeMap<String, u64> {
    let start = format!("epilogue_tasks_total{{component=\"{component}\",state=\"");
    let metrics = metrics().render();
    let lines = metrics.lines().filter_map(|line| line.strip_prefix(&start)?.split_once("\"} "));
    lines.map(|(state, count)| (state.to_owned(), count.parse().expect("a count"))).collect()
}

struct Listener;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Listener {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        let mut fields = Read(Fields::new());
        attributes.record(&mut fields);
        panic_if_asked(|place| matches!(place, Panic::AtBegin { request, task } if fields.is(request, task)));
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // What is logged in detail only is not what operators see.
        if event.metadata().target() == "epilogue::task" && *event.metadata().level() <= Level::INFO {
            let mut fields = Read(Fields::new());
            event.record(&mut fields);
            EVENTS.lock().unwrap().push(fields.0.clone());
            panic_if_asked(|place| matches!(place, Panic::AtEnd { request, task } if fields.is(request, task)));
        }
    }
}

struct Read(Fields);

impl Read {
    fn is(&self, request: &str, task: &str) -> bool {
        let is = |key, value| self.0.get(key).is_some_and(|own| own == value);
        is("request", request) && is("name", task)
    }
}

impl Visit for Read {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}
