//! The guide's alerts and its dashboard fit the metrics of the host, as Debian's Prometheus reads them.

mod files;
mod query;
mod scene;
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use self::files::{ALERTS, Alert, Dashboard, path};
use self::query::Query;
use self::scene::Scene;
use self::server::Server;

const ALERT_TESTS: &str = "tests/prometheus/alerts.test.yaml";
/// The labels that Prometheus adds to each series, and the metric that it makes for each host.
const OWN_LABELS: [&str; 2] = ["job", "instance"];
const OWN_METRIC: &str = "up";
/// The alerts that fire at once about what happens in the scene.
const FIRING: [&str; 5] = [
    "EpilogueEventsLost",
    "EpilogueReloadFailed",
    "EpilogueRequestsRefused",
    "EpilogueTasksAbandoned",
    "EpilogueTelemetryLost",
];

/// All queries of the alerts and of the dashboard.
fn queries() -> Vec<Query> {
    let alerts = Alert::all().into_iter().map(|alert| alert.query);
    alerts.chain(Dashboard::read().queries()).map(|query| Query::parse(&query)).collect()
}

#[test]
fn each_metric_and_label_of_the_guide_s_files_exists() {
    let scene = Scene::start();
    let text = scene.metrics_text();
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let series = Query::parse(line).selectors.into_iter().next().unwrap();
        known.entry(series.metric.clone()).or_default().extend(series.labels().map(str::to_owned));
    }
    known.insert(OWN_METRIC.to_owned(), BTreeSet::new());
    let mut unknown = Vec::new();
    for query in queries() {
        let of = |metric: &str| known.get(metric).into_iter().flatten().map(String::as_str).chain(OWN_LABELS);
        for selector in &query.selectors {
            if !known.contains_key(&selector.metric) {
                unknown.push(format!("there is no metric {}: {}", selector.metric, query.text));
                continue;
            }
            let labels = selector.labels().filter(|label| !of(&selector.metric).any(|known| known == *label));
            unknown.extend(labels.map(|label| format!("{} has no label {label}: {}", selector.metric, query.text)));
        }
        let any = |label: &str| query.selectors.iter().any(|selector| of(&selector.metric).any(|known| known == label));
        let labels = query.groups.iter().filter(|label| !any(label) && !query.makes(label));
        unknown.extend(labels.map(|label| format!("no metric has the label {label}: {}", query.text)));
    }
    assert!(unknown.is_empty(), "{}\n\n{text}", unknown.join("\n"));
}

#[test]
fn prometheus_accepts_the_alerts() {
    promtool(["check", "rules", ALERTS]);
}

#[test]
fn each_alert_fires_when_it_should_and_only_then() {
    promtool(["test", "rules", ALERT_TESTS]);
    let tests = std::fs::read_to_string(path(ALERT_TESTS)).unwrap();
    let untested = Alert::all().into_iter().filter(|alert| !tests.contains(&format!("alertname=\"{}\"", alert.name)));
    assert_eq!(untested.map(|alert| alert.name).collect::<Vec<_>>(), [""; 0]);
}

/// Prometheus leaves a gap in the text for a label that an alert does not have.
#[test]
fn the_texts_of_an_alert_name_only_its_labels() {
    for Alert { name, query, labels } in Alert::all() {
        let query = Query::parse(&query);
        // An alert about single series has all of their labels.
        let of_series = ["limit"].into_iter().chain(OWN_LABELS).filter(|_| query.groups.is_empty());
        let known: Vec<&str> = query.groups.iter().map(String::as_str).chain(of_series).collect();
        let unknown: Vec<_> = labels.iter().filter(|label| !known.contains(&label.as_str())).collect();
        assert!(unknown.is_empty(), "{name} has no label {unknown:?}");
    }
}

#[test]
fn a_real_prometheus_reads_the_host_and_answers_each_query_of_the_guide_s_files() {
    let scene = Scene::start();
    let prometheus = Server::start(scene.metrics);
    let health = prometheus.wait_for("/api/v1/targets", |data| {
        let health = data["activeTargets"][0]["health"].as_str()?;
        (health != "unknown").then(|| health.to_owned())
    });
    assert_eq!(health, "up");

    let dashboard = Dashboard::read();
    for query in dashboard.queries() {
        prometheus.data(&query);
    }
    // A query of an alert has no data as long as all is well, but what it selects has.
    for selector in queries().into_iter().flat_map(|query| query.selectors) {
        selector.each_value().iter().for_each(|selector| prometheus.data(selector));
    }

    let rules = prometheus.wait_for("/api/v1/rules", |data| {
        let rules = data["groups"][0]["rules"].as_array().cloned().unwrap_or_default();
        let known = rules.iter().all(|rule| rule["health"] != "unknown");
        let fires = |name: &&str| rules.iter().any(|rule| rule["name"] == **name && rule["state"] == "firing");
        (known && FIRING.iter().all(fires)).then_some(rules)
    });
    assert_eq!(rules.len(), Alert::all().len());
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        for alert in rule["alerts"].as_array().unwrap() {
            let texts = alert["annotations"].as_object().unwrap().values().filter_map(Value::as_str);
            let mut wrong = texts.filter(|text| text.contains("error expanding") || text.contains("no value"));
            assert_eq!(wrong.next(), None, "{rule}");
        }
    }
}

#[test]
fn grafana_can_import_the_dashboard() {
    Dashboard::read().assert_complete();
}

/// Runs `promtool` in the repository's root, and expects it to accept its files.
fn promtool<const N: usize>(arguments: [&str; N]) {
    let mut promtool = Command::new("promtool");
    let output = promtool.args(arguments).current_dir(path("")).output();
    let output = output.expect("promtool should be there: install Debian's package prometheus");
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&text));
}
