//! Limits how much telemetry waits in memory for the collector, and counts the telemetry that is lost.
//!
//! A request never waits for the collector. If the collector is slow or unavailable, a limited number of items wait,
//! and all newer items are lost.

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogExporter};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use super::variables::Signal;
use crate::telemetry::once_a_minute::OnceAMinute;

/// The reason that the host logs if telemetry is lost although the collector answers.
const SLOW: &str = "the collector is too slow";

/// Counts the waiting items and the lost items of one kind of telemetry.
pub(crate) struct Losses {
    signal: Signal,
    /// The largest number of items that may wait for the collector.
    room: usize,
    waiting: AtomicUsize,
    /// The number of items that were lost since the last warning.
    lost: AtomicU64,
    pace: OnceAMinute,
}

impl Debug for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Losses").field("signal", &self.signal).finish_non_exhaustive()
    }
}

impl Losses {
    pub(super) fn new(signal: Signal, room: usize) -> Arc<Self> {
        Arc::new(Self {
            signal,
            room,
            waiting: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            pace: OnceAMinute::default(),
        })
    }

    /// Counts `count` new items as waiting and returns true. If too many items are already waiting, counts the new
    /// items as lost and returns false.
    pub(super) fn reserve(&self, count: usize) -> bool {
        let reserve = |waiting: usize| (waiting + count <= self.room).then_some(waiting + count);
        let reserved = self.waiting.try_update(Relaxed, Relaxed, reserve).is_ok();
        if !reserved {
            self.lose(count);
        }
        reserved
    }

    /// Returns true if a line of a guest may wait for the collector. The lines of guests may take only half of the room, so
    /// that a guest that prints a lot does not displace the host's own log records. Otherwise counts the line as lost.
    pub(super) fn has_room_for_guest(&self) -> bool {
        let has_room = self.waiting.load(Relaxed) < self.room.div_ceil(2);
        if !has_room {
            self.lose(1);
        }
        has_room
    }

    fn lose(&self, count: usize) {
        self.lost.fetch_add(count as u64, Relaxed);
        metrics::counter!("epilogue_otlp_lost_total", "signal" => self.signal.name()).increment(count as u64);
    }

    /// Records the result of an attempt to send `count` items. If items were lost, logs a warning at most once a
    /// minute. The thread that sends the items calls this function, so that no request waits for this work.
    fn tried(&self, count: usize, result: &OTelSdkResult) {
        self.waiting.fetch_sub(count, Relaxed);
        if result.is_err() {
            self.lose(count);
        }
        if self.lost.load(Relaxed) > 0 && self.pace.due().is_some() {
            let why = result.as_ref().err().map_or_else(|| SLOW.to_owned(), ToString::to_string);
            self.warn(&why);
        }
    }

    fn warn(&self, why: &str) {
        let (lost, signal) = (self.lost.swap(0, Relaxed), self.signal.name());
        tracing::warn!(target: "epilogue::otlp", signal, lost, error = why, "telemetry was lost, because the collector did not take it");
    }

    /// Records the result of the last attempt to send items before the process ends, and logs how many items are lost.
    pub(super) fn end(&self, result: &OTelSdkResult) {
        let Err(error) = result else { return };
        self.lose(self.waiting.swap(0, Relaxed));
        if self.lost.load(Relaxed) > 0 {
            self.warn(&error.to_string());
        }
    }
}

/// An exporter that counts the items that it sends.
#[derive(Debug)]
pub(super) struct Counted<E> {
    pub(super) exporter: E,
    pub(super) losses: Arc<Losses>,
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        let result = self.exporter.export(batch).await;
        self.losses.tried(count, &result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E: LogExporter> LogExporter for Counted<E> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let count = batch.iter().count();
        let result = self.exporter.export(batch).await;
        self.losses.tried(count, &result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E: PushMetricExporter> PushMetricExporter for Counted<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        // Metrics do not wait: if an export fails, the values of this export are lost, but the next export contains
        // newer values.
        self.losses.waiting.fetch_add(1, Relaxed);
        let result = self.exporter.export(metrics).await;
        self.losses.tried(1, &result);
        result
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_guests_take_half_of_the_room() {
        let losses = Losses::new(Signal::Logs, 4);
        assert!(losses.has_room_for_guest() && losses.reserve(1));
        assert!(losses.has_room_for_guest() && losses.reserve(1));
        assert!(!losses.has_room_for_guest());
        assert_eq!(losses.lost.load(Relaxed), 1);
        assert!(losses.reserve(2) && !losses.reserve(1), "the host's own records take all of it");
    }
}
