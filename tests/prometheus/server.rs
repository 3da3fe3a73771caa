//! Debian's Prometheus, which reads the metrics of one host each second, and evaluates the guide's alerts.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::files::{ALERTS, path};
use crate::client::get;
use crate::process::{Process, retry};

/// A running Prometheus. Dropping it kills it.
pub(super) struct Server {
    address: SocketAddr,
    _process: Process,
    _folder: TempDir,
}

impl Server {
    /// Starts Prometheus on a free port, with its data in a folder of its own.
    pub(super) fn start(metrics: SocketAddr) -> Self {
        let installed = Command::new("prometheus").arg("--version").output();
        installed.expect("prometheus should be there: install Debian's package prometheus");
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("prometheus.yml");
        let text = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [{:?}]\nscrape_configs:\n\
             - {{ job_name: epilogue, static_configs: [{{ targets: [\"{metrics}\"] }}] }}\n",
            path(ALERTS)
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new("prometheus");
        command.arg("--config.file").arg(config).arg("--storage.tsdb.path").arg(folder.path().join("data"));
        command.arg("--web.listen-address=127.0.0.1:0");
        let process = Process::start(command);
        let line = process.logged("msg=\"Listening on\"");
        process.logged("Server is ready to receive web requests");
        let address = line.rsplit_once("address=").unwrap().1.parse().unwrap();
        Self { address, _process: process, _folder: folder }
    }

    /// Asks until the answer's data has what is looked for, for at most a minute.
    pub(super) fn wait_for<T>(&self, path: &str, find: impl Fn(&Value) -> Option<T>) -> T {
        // Seen only if the test fails.
        eprintln!("asking for {path}");
        retry(|| find(&self.ask(path)))
    }

    /// Waits until a query has data. A query with an error fails the test.
    pub(super) fn data(&self, query: &str) {
        let encoded: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        eprintln!("evaluating {query}");
        self.wait_for(&format!("/api/v1/query?query={encoded}"), |data| {
            let result = data["result"].as_array().unwrap();
            (!result.is_empty()).then_some(())
        });
    }

    fn ask(&self, path: &str) -> Value {
        let answer: Value = serde_json::from_str(&get(self.address, path)).unwrap();
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        answer["data"].clone()
    }
}
