//! A host in which everything has happened that its metrics count.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use tempfile::TempDir;

use crate::client::get;
use crate::guests;
use crate::process::{folder, retry, up};
use crate::socket::Socket;

/// Requests, with a part of the metrics that shows that each one's tasks have ended.
const REQUESTS: [(&str, &str); 9] = [
    ("/?run=ok,sync,ok", "state=\"succeeded\"} "),
    ("/?run=fail,ok&status=404", "state=\"skipped\"} "),
    ("/?run=panic,closure&on_failure=continue&status=302", "state=\"abandoned\"} "),
    ("/?run=fail,sleep&within=50&on_failure=continue", "state=\"timed-out\"} "),
    ("/?run=ok&when=failure", "state=\"discarded\"} "),
    ("/?run=flaky&backoff=1", "epilogue_task_attempts_total{component=\"app\",name=\"flaky\"} 3"),
    ("/durable?run=ok,ok", "epilogue_tasks_total{component=\"durable\",state=\"succeeded\"} 2"),
    ("/durable?run=fail&attempts=1", "epilogue_tasks_dead_total{component=\"durable\",cause=\"failed\"} 1"),
    ("/durable?run=error", "http_response_status_code=\"500\""),
];
/// How many connections one client may have.
const CONNECTIONS: usize = 16;

/// A host with a component for tasks in the process, one for durable tasks, and a task engine. Nothing reads its log, and
/// nothing takes its traces.
pub(super) struct Scene {
    child: Child,
    address: SocketAddr,
    pub(super) metrics: SocketAddr,
    app: TempDir,
    /// The outputs, which stay open and are not read.
    _outputs: (BufReader<ChildStdout>, BufReader<ChildStderr>),
}

impl Scene {
    pub(super) fn start() -> Self {
        let app = folder(&manifest(guests::TASKS));
        let engine = format!("sqlite:{}?synchronous=normal", app.path().join("tasks.db").display());
        let mut command = up(app.path(), ["--metrics-listen", "127.0.0.1:0", "--engine", &engine, "--work", "--quiet"]);
        command.args(["--max-requests-per-address", "1", "--max-connections-per-address", &CONNECTIONS.to_string()]);
        // Nothing listens there any more.
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        command.env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", format!("http://{nobody}/v1/traces"));
        command.env("OTEL_BSP_SCHEDULE_DELAY", "20");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let metrics = address(&mut stderr, "metrics are on http://");
        let address = address(&mut stdout, "Serving http://");
        let scene = Self { child, address, metrics, app, _outputs: (stdout, stderr) };
        scene.happen();
        scene
    }

    fn happen(&self) {
        for (path, counted) in REQUESTS {
            get(self.address, path);
            self.wait_for(counted);
        }
        self.refuse();
        self.reload();
        self.wait_for("epilogue_otlp_lost_total{signal=\"traces\"}");
        // More events than the host keeps for a reader.
        let many = format!("/?run={}", ["ok"; 1000].join(","));
        while !self.metrics_text().contains("epilogue_events_lost_total ") {
            get(self.address, &many);
        }
    }

    /// Lets the host refuse a request, and close a connection.
    fn refuse(&self) {
        let mut client = Socket::connect_to(self.address);
        client.write("POST /?run=ok HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\n\r\n");
        // The handler has returned, and its body waits for the request's.
        client.head();
        get(self.address, "/?run=ok");
        self.wait_for("epilogue_requests_refused_total{limit=\"max-requests-per-address\"} ");
        client.write("12345");
        let idle: Vec<_> = (0..=CONNECTIONS).map(|_| TcpStream::connect(self.address).unwrap()).collect();
        self.wait_for("epilogue_limit_hits_total{limit=\"connections-per-address\"} ");
        drop((client, idle));
        // The host sees a moment later that they have closed.
        retry(|| {
            let mut client = Socket::connect_to(self.address);
            client.try_write(b"GET /?run=ok HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
            client.rest().starts_with("HTTP/1.1 200 ").then_some(())
        });
    }

    /// Reloads the application once with success, and once without.
    fn reload(&self) {
        self.hang_up();
        self.wait_for("epilogue_reloads_total{result=\"ok\"} ");
        std::fs::write(self.app.path().join("spin.toml"), manifest("missing.wasm")).unwrap();
        self.hang_up();
        self.wait_for("epilogue_reloads_total{result=\"failed\"} ");
    }

    fn hang_up(&self) {
        let sent = Command::new("kill").args(["-s", "HUP", &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "the signal should be sent");
    }

    pub(super) fn metrics_text(&self) -> String {
        get(self.metrics, "/metrics")
    }

    fn wait_for(&self, counted: &str) {
        // Seen only if the test fails.
        eprintln!("waiting for {counted}");
        retry(|| self.metrics_text().contains(counted).then_some(()));
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// The address in the first line that has this text.
fn address(output: &mut impl BufRead, text: &str) -> SocketAddr {
    loop {
        let mut line = String::new();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "the host should print its address");
        if let Some((_, address)) = line.trim_end().split_once(text) {
            return address.trim_end_matches("/metrics").parse().unwrap();
        }
    }
}

/// An application with a component for all paths, whose file is this, and a component with durable tasks.
fn manifest(tasks: &str) -> String {
    format!(
        "spin_manifest_version = 2\n[application]\nname = \"scene\"\n\
         [[trigger.http]]\nroute = \"/...\"\ncomponent = \"app\"\n[component.app]\nsource = {tasks:?}\n\
         [[trigger.http]]\nroute = \"/durable\"\ncomponent = \"durable\"\n[component.durable]\nsource = {:?}\n",
        guests::DURABLE
    )
}
