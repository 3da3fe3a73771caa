//! The host's metrics at the collector.

use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;

use super::collector::{Collector, attributes};
use crate::client::get;
use crate::guests;
use crate::monitor;
use crate::process::{Process, application, retry, up};

#[test]
fn the_collector_gets_the_metrics_that_prometheus_gets() {
    let (collector, app) = (Collector::start(), application(guests::TASKS, ""));
    let host = Process::start(collector.receives(up(app.path(), ["--metrics-listen", "127.0.0.1:0"])));
    let monitor = monitor::address(&host);
    get(host.address(), "/?run=ok,ok,fail,ok");
    let line = "epilogue_tasks_total{component=\"app\",state=\"succeeded\"} 2";
    retry(|| get(monitor, "/metrics").contains(line).then_some(()));
    let description = collector.wait_for(|kept| {
        kept.metrics.iter().filter(|metric| metric.name == "epilogue.tasks").find_map(|metric| {
            let Some(Data::Sum(sum)) = &metric.data else { panic!("{metric:?} should be a counter") };
            let point = sum.data_points.iter().find(|point| {
                let attributes = attributes(&point.attributes);
                attributes["state"] == "succeeded" && attributes["component"] == "app"
            })?;
            (point.value == Some(Value::AsInt(2))).then(|| metric.description.clone())
        })
    });
    assert_eq!(description, "Tasks that ended, by component and final state.");
}
