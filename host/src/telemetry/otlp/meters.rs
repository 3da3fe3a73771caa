//! Sends the host's metrics to the collector. `/metrics` shows the same metrics.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use metrics_util::registry::{Registry, Storage};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{self as otel, Meter};

use crate::telemetry::names;

/// A recorder that passes each metric on to an instrument of OpenTelemetry.
pub(crate) struct Meters {
    registry: Registry<Key, Instruments>,
    instruments: Instruments,
}

impl Meters {
    pub(super) fn new(meter: Meter) -> Self {
        let instruments = Instruments { meter, descriptions: Arc::default() };
        Self { registry: Registry::new(instruments.clone()), instruments }
    }
}

impl Recorder for Meters {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        self.instruments.describe(name, unit, description);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        self.instruments.describe(name, unit, description);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        self.instruments.describe(name, unit, description);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.registry.get_or_create_counter(key, |counter| counter.clone().into())
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.registry.get_or_create_gauge(key, |gauge| gauge.clone().into())
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.registry.get_or_create_histogram(key, |histogram| histogram.clone().into())
    }
}

/// The unit and the description of a metric.
type Description = (Option<Unit>, SharedString);

/// Makes one instrument of OpenTelemetry for each metric name and set of labels.
#[derive(Clone)]
struct Instruments {
    meter: Meter,
    descriptions: Arc<Mutex<HashMap<KeyName, Description>>>,
}

impl Instruments {
    fn describe(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        self.descriptions.lock().unwrap_or_else(PoisonError::into_inner).insert(name, (unit, description));
    }

    /// Returns the name, the unit and the description of the instrument for a metric.
    fn about(&self, key: &Key) -> (String, &'static str, String) {
        let descriptions = self.descriptions.lock().unwrap_or_else(PoisonError::into_inner);
        let (unit, description) = descriptions.get(key.name()).cloned().unwrap_or_default();
        // OpenTelemetry uses the unit names of UCUM.
        let unit = match unit {
            Some(Unit::Seconds) => "s",
            Some(Unit::Bytes) => "By",
            _ => "",
        };
        (names::metric(key.name()), unit, description.into_owned())
    }
}

impl Storage<Key> for Instruments {
    type Counter = Arc<Instrument<otel::Counter<u64>>>;
    type Gauge = Arc<Instrument<otel::Gauge<f64>>>;
    type Histogram = Arc<Instrument<otel::Histogram<f64>>>;

    fn counter(&self, key: &Key) -> Self::Counter {
        let (name, unit, description) = self.about(key);
        let counter = self.meter.u64_counter(name).with_unit(unit).with_description(description).build();
        Instrument::new(key, counter)
    }

    fn gauge(&self, key: &Key) -> Self::Gauge {
        let (name, unit, description) = self.about(key);
        let gauge = self.meter.f64_gauge(name).with_unit(unit).with_description(description).build();
        Instrument::new(key, gauge)
    }

    fn histogram(&self, key: &Key) -> Self::Histogram {
        let (name, unit, description) = self.about(key);
        let mut histogram = self.meter.f64_histogram(name).with_unit(unit).with_description(description);
        if let Some((_, buckets)) = names::HISTOGRAMS.iter().find(|(name, _)| *name == key.name()) {
            histogram = histogram.with_boundaries(buckets.to_vec());
        }
        Instrument::new(key, histogram.build())
    }
}

/// An instrument of OpenTelemetry with its labels. If the metric is a gauge, this value also contains the last value of
/// the gauge.
struct Instrument<I> {
    instrument: I,
    labels: Vec<KeyValue>,
    value: AtomicU64,
}

impl<I> Instrument<I> {
    fn new(key: &Key, instrument: I) -> Arc<Self> {
        let label = |label: &metrics::Label| KeyValue::new(names::label(label.key()), label.value().to_owned());
        Arc::new(Self { instrument, labels: key.labels().map(label).collect(), value: AtomicU64::default() })
    }
}

impl CounterFn for Instrument<otel::Counter<u64>> {
    fn increment(&self, value: u64) {
        self.instrument.add(value, &self.labels);
    }

    fn absolute(&self, value: u64) {
        let before = self.value.fetch_max(value, Relaxed);
        self.instrument.add(value.saturating_sub(before), &self.labels);
    }
}

impl Instrument<otel::Gauge<f64>> {
    fn update(&self, next: impl Fn(f64) -> f64) {
        let update = |bits| next(f64::from_bits(bits)).to_bits();
        let before = self.value.fetch_update(Relaxed, Relaxed, |bits| Some(update(bits)));
        self.instrument.record(before.map_or(0.0, |bits| f64::from_bits(update(bits))), &self.labels);
    }
}

impl GaugeFn for Instrument<otel::Gauge<f64>> {
    fn increment(&self, value: f64) {
        self.update(|before| before + value);
    }

    fn decrement(&self, value: f64) {
        self.update(|before| before - value);
    }

    fn set(&self, value: f64) {
        self.update(|_| value);
    }
}

impl HistogramFn for Instrument<otel::Histogram<f64>> {
    fn record(&self, value: f64) {
        self.instrument.record(value, &self.labels);
    }
}
