//! The files that the guide offers to download: the alerts and the dashboard.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

pub(super) const ALERTS: &str = "docs/guide/how-to/prometheus/alerts.yaml";
const DASHBOARD: &str = "docs/guide/how-to/prometheus/dashboard.json";
/// How many columns a dashboard of Grafana has.
const COLUMNS: u64 = 24;

/// The path of a file in the repository.
pub(super) fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(file)
}

/// An alert of the guide.
pub(super) struct Alert {
    pub(super) name: String,
    pub(super) query: String,
    /// The labels that its texts name, as in `{{ $labels.instance }}`.
    pub(super) labels: Vec<String>,
}

impl Alert {
    pub(super) fn all() -> Vec<Self> {
        let text = fs::read_to_string(path(ALERTS)).unwrap();
        let alerts: Vec<_> = text.split("- alert: ").skip(1).map(Self::read).collect();
        assert!(alerts.len() > 10, "{ALERTS} should have more alerts");
        alerts
    }

    fn read(text: &str) -> Self {
        let (name, rest) = text.split_once('\n').unwrap();
        let (first, rest) = rest.split_once("expr: ").unwrap().1.split_once('\n').unwrap();
        // The lines of a block are further in than the key.
        let block = rest.lines().take_while(|line| line.starts_with("          ")).map(str::trim);
        let query = if first == "|" { block.collect::<Vec<_>>().join("\n") } else { first.to_owned() };
        let labels = text.split("$labels.").skip(1).map(|rest| rest.split([' ', '}']).next().unwrap().to_owned());
        Self { name: name.to_owned(), query, labels: labels.collect() }
    }
}

/// The dashboard for Grafana.
pub(super) struct Dashboard(Value);

impl Dashboard {
    pub(super) fn read() -> Self {
        Self(serde_json::from_str(&fs::read_to_string(path(DASHBOARD)).unwrap()).unwrap())
    }

    /// The queries of all panels and variables, as Grafana sends them if all hosts are chosen.
    pub(super) fn queries(&self) -> Vec<String> {
        let targets = self.panels().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
        let queries = targets.map(|target| target["expr"].as_str().unwrap().to_owned());
        let queries =
            queries.chain(self.variables().map(|variable| values_of(variable["definition"].as_str().unwrap())));
        let queries = queries.map(|query| {
            let all = self.variables().fold(query, |query, variable| {
                query.replace(&format!("${}", variable["name"].as_str().unwrap()), ".*")
            });
            all.replace("$__rate_interval", "1m")
        });
        queries.collect()
    }

    fn panels(&self) -> impl Iterator<Item = &Value> {
        self.0["panels"].as_array().unwrap().iter()
    }

    fn variables(&self) -> impl Iterator<Item = &Value> {
        self.0["templating"]["list"].as_array().unwrap().iter()
    }

    /// Checks what an import needs: one data source to choose, panels that have a place of their own, and texts.
    pub(super) fn assert_complete(&self) {
        let input = &self.0["__inputs"][0];
        let source = format!("${{{}}}", input["name"].as_str().unwrap());
        assert_eq!((&input["type"], &input["pluginId"]), (&"datasource".into(), &"prometheus".into()));
        assert!(self.variables().any(|variable| variable["name"] == "instance"));
        assert!(self.variables().all(|variable| variable["datasource"]["uid"] == *source));
        let mut kinds = BTreeSet::from(["grafana".to_owned(), "prometheus".to_owned()]);
        let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
        for panel in self.panels() {
            let title = panel["title"].as_str().unwrap();
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: the id is taken");
            let side = |name: &str| panel["gridPos"][name].as_u64().unwrap();
            assert!(side("x") + side("w") <= COLUMNS, "{title} is too wide");
            for y in side("y")..side("y") + side("h") {
                let mut row = side("x")..side("x") + side("w");
                assert!(row.all(|x| places.insert((x, y))), "{title} is on another panel");
            }
            if panel["type"] == "row" {
                continue;
            }
            kinds.insert(panel["type"].as_str().unwrap().to_owned());
            assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{title}");
            assert_eq!(panel["datasource"]["uid"], *source, "{title}");
            let targets = panel["targets"].as_array().unwrap();
            assert!(!targets.is_empty(), "{title}");
            assert!(targets.iter().all(|target| target["datasource"]["uid"] == *source), "{title}");
            let names: BTreeSet<_> = targets.iter().map(|target| target["refId"].as_str().unwrap()).collect();
            assert_eq!(names.len(), targets.len(), "{title}");
        }
        let required = self.0["__requires"].as_array().unwrap().iter();
        assert_eq!(required.map(|one| one["id"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>(), kinds);
    }
}

/// The query for which `label_values(SELECTOR, LABEL)` stands.
fn values_of(definition: &str) -> String {
    let inner = definition.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).unwrap();
    let (selector, label) = inner.rsplit_once(", ").unwrap();
    format!("count by ({label}) ({selector})")
}
